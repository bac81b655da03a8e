//! Pictures that people send of themselves: decoded and encoded anew, so that nothing is served as it was sent.
//!
//! Not here: where they are kept (`store`), whose they are (`chat`). Relies on: nothing of ours. No I/O.
//! Bounded by: `PIXELS_MAX`, asked before anything is decoded; what comes out is at most `SIDE` wide and high.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    imageops::FilterType,
};

/// Of what is decoded: 64 MiB of memory.
const PIXELS_MAX: u64 = 1 << 24;
const SIDE_MAX: u32 = 1 << 14;
/// Four bytes a pixel, and as much again for what the decoder needs.
const DECODED_BYTES_MAX: u64 = 2 * 4 * PIXELS_MAX;
/// Of what is kept.
const SIDE: u32 = 512;
const JPEG_QUALITY: u8 = 85;

/// Why a picture isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Another format, or broken.
    #[error("Upload a valid image: PNG, JPEG or WebP.")]
    NoPicture,
    /// More pixels than are decoded.
    #[error("The image has too many pixels.")]
    TooManyPixels,
}

/// A picture encoded here: JPEG, or where it is transparent somewhere PNG.
pub fn encoded_anew(sent: &[u8]) -> Result<Vec<u8>, PictureError> {
    let picture = decoded(sent)?;
    let picture = match picture.width() > SIDE || picture.height() > SIDE {
        true => picture.resize(SIDE, SIDE, FilterType::Triangle),
        false => picture,
    };
    let mut bytes = Vec::new();
    let written = match picture.color().has_alpha() {
        true => {
            let picture = DynamicImage::ImageRgba8(picture.into_rgba8());
            picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        }
        false => JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .encode_image(&picture.into_rgb8()),
    };
    written.map_err(|_| PictureError::NoPicture)?;
    Ok(bytes)
}

/// The media type of what [`encoded_anew`] made.
pub fn media_type(encoded: &[u8]) -> &'static str {
    match encoded.starts_with(b"\x89PNG") {
        true => "image/png",
        false => "image/jpeg",
    }
}

fn decoded(sent: &[u8]) -> Result<DynamicImage, PictureError> {
    let no_picture = |_| PictureError::NoPicture;
    let reader = ImageReader::new(Cursor::new(sent)).with_guessed_format();
    let mut reader = reader.map_err(|_| PictureError::NoPicture)?;
    if !matches!(
        reader.format(),
        Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)
    ) {
        return Err(PictureError::NoPicture);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(no_picture)?;
    // From the header alone.
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX || width.max(height) > SIDE_MAX {
        return Err(PictureError::TooManyPixels);
    }
    // Cameras write how they were held beside the pixels; the picture that is kept has no such note.
    let orientation = decoder.orientation().map_err(no_picture)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(no_picture)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use image::{RgbImage, RgbaImage};

    use super::*;

    fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture
            .write_to(&mut Cursor::new(&mut bytes), format)
            .unwrap();
        bytes
    }

    fn size(encoded: &[u8]) -> (u32, u32) {
        let picture = image::load_from_memory(encoded).unwrap();
        (picture.width(), picture.height())
    }

    #[test]
    fn every_format_comes_out_as_jpeg_or_where_it_is_transparent_as_png() {
        let opaque = DynamicImage::ImageRgb8(RgbImage::new(40, 30));
        let transparent = DynamicImage::ImageRgba8(RgbaImage::new(40, 30));
        for (picture, format, wanted) in [
            (&opaque, ImageFormat::Png, "image/jpeg"),
            (&opaque, ImageFormat::Jpeg, "image/jpeg"),
            (&opaque, ImageFormat::WebP, "image/jpeg"),
            (&transparent, ImageFormat::Png, "image/png"),
            (&transparent, ImageFormat::WebP, "image/png"),
        ] {
            let encoded = encoded_anew(&written(picture, format)).unwrap();
            assert_eq!(media_type(&encoded), wanted, "{format:?}");
            assert_eq!(size(&encoded), (40, 30));
        }
    }

    #[test]
    fn what_is_hidden_beside_the_pixels_is_gone() {
        let mut sent = written(&DynamicImage::new_rgb8(10, 10), ImageFormat::Png);
        sent.extend_from_slice(b"<script>alert(1)</script>");
        let encoded = encoded_anew(&sent).unwrap();
        assert!(!encoded.windows(8).any(|bytes| bytes == b"<script>"));
    }

    #[test]
    fn large_pictures_are_made_small_and_keep_their_shape() {
        let sent = written(&DynamicImage::new_rgb8(2048, 1024), ImageFormat::Png);
        assert_eq!(size(&encoded_anew(&sent).unwrap()), (512, 256));
    }

    #[test]
    fn what_is_too_large_is_refused_by_its_header_before_it_is_decoded() {
        let mut bomb = written(&DynamicImage::new_luma8(1, 1), ImageFormat::Png);
        bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        // The header's checksum, so that it is believed.
        let mut crc = u32::MAX;
        for byte in &bomb[12..29] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1));
            }
        }
        bomb[29..33].copy_from_slice(&(!crc).to_be_bytes());
        assert_eq!(encoded_anew(&bomb), Err(PictureError::TooManyPixels));
    }

    #[test]
    fn what_is_no_picture_is_told_so() {
        for sent in [
            &b""[..],
            b"hello",
            b"GIF89a\x01\0\x01\0\0\0\0;",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
        ] {
            assert_eq!(encoded_anew(sent), Err(PictureError::NoPicture), "{sent:?}");
        }
        let whole = written(&DynamicImage::new_rgb8(100, 100), ImageFormat::Png);
        assert!(encoded_anew(&whole[..whole.len() / 2]).is_err());
    }
}
