//! What a file is, read off its first bytes, and what it may be called.

/// Bytes that are looked at.
pub(crate) const HEAD_BYTES: usize = 4096;
/// Characters of a name.
const NAME_CHARS: usize = 200;
/// Of those the ones that are kept for what comes after the last dot.
const EXTENSION_CHARS: usize = 20;

/// How files of a type begin: bytes, and where they stand.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
];

/// The media type of a file that begins so. Never one that a browser would run: what looks like text, a page or a
/// drawing with scripts included, is plain text.
pub(crate) fn media_type(head: &[u8]) -> &'static str {
    let begins = |(at, bytes, _): &&(usize, &[u8], &str)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(bytes))
    };
    if let Some((_, _, media_type)) = MAGIC.iter().find(begins) {
        return media_type;
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may go on behind what is looked at.
        Err(error) if error.error_len().is_none() && head.len() >= HEAD_BYTES => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or("\0")
        }
        Err(_) => "\0",
    };
    let is_text = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    match text.chars().all(is_text) {
        true => "text/plain; charset=utf-8",
        false => "application/octet-stream",
    }
}

/// Whether a type is a picture's.
pub(crate) fn is_picture(media_type: &str) -> bool {
    media_type.starts_with("image/")
}

/// A file's name as it may be shown and saved: no path, nothing that hides or turns letters, not too long.
pub(crate) fn safe_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_shown = |c: &char| {
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        !c.is_control() && !turns
    };
    let shown: String = last.chars().filter(is_shown).collect();
    let name = shown.trim().trim_start_matches('.').trim_start();
    if name.is_empty() {
        return "file".to_owned();
    }
    let chars = name.chars().count();
    if chars <= NAME_CHARS {
        return name.to_owned();
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.chars().count() < EXTENSION_CHARS => {
            (stem, format!(".{extension}"))
        }
        _ => (name, String::new()),
    };
    let kept = NAME_CHARS - extension.chars().count();
    stem.chars().take(kept).collect::<String>() + &extension
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_bytes_say_and_never_a_page() {
        for (head, expected) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], "image/png"),
            (b"RIFF\0\0\0\0WEBP", "image/webp"),
            (b"\0\0\0\x20ftypisom", "video/mp4"),
            (
                b"<html><script>alert(1)</script>",
                "text/plain; charset=utf-8",
            ),
            (b"<svg xmlns='x'/>", "text/plain; charset=utf-8"),
            ("Привет".as_bytes(), "text/plain; charset=utf-8"),
            (b"\xd0", "application/octet-stream"),
            (b"MZ\0\0", "application/octet-stream"),
            (b"", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(media_type(head), expected, "{head:?}");
        }
        let mut long = "я".repeat(HEAD_BYTES);
        long.insert(0, ' ');
        let head = &long.as_bytes()[..HEAD_BYTES];
        assert_eq!(media_type(head), "text/plain; charset=utf-8");
    }

    #[test]
    fn a_name_is_no_path_and_hides_nothing() {
        for (given, expected) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\anna\\photo.jpg", "photo.jpg"),
            ("..", "file"),
            ("/", "file"),
            ("", "file"),
            (" .htaccess ", "htaccess"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("cod\u{202e}gpj.exe", "codgpj.exe"),
            ("Отчёт «май».pdf", "Отчёт «май».pdf"),
        ] {
            assert_eq!(safe_name(given), expected, "{given:?}");
        }
        let long = safe_name(&format!("{}.tar.gz", "x".repeat(500)));
        assert_eq!(long.len(), NAME_CHARS);
        assert!(long.ends_with(".gz"));
        assert_eq!(safe_name(&"y".repeat(500)).len(), NAME_CHARS);
    }
}
