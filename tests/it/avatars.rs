//! Pictures that people show of themselves.

use std::{
    io::Cursor,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::support::{Caller, Person, Reply, Request, Server, until};

fn picture(width: u32, shade: u8, format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_pixel(width, width, image::Rgb([shade, 0, 0]));
    let mut bytes = Vec::new();
    let written = DynamicImage::ImageRgb8(pixels).write_to(&mut Cursor::new(&mut bytes), format);
    written.expect("a picture");
    bytes
}

async fn puts(person: &Person, content_type: &str, bytes: Vec<u8>) -> Reply {
    let request = person.request("PUT", "/api/users/me/avatar/");
    request.body(content_type, bytes).send(person.to).await
}

async fn address_of(person: &Person, seen_by: &Person) -> Value {
    let page = seen_by.get(&format!("/api/users/{}/", person.id)).await;
    page.expect(200)["avatar"].clone()
}

#[tokio::test]
async fn a_picture_is_seen_by_everybody_encoded_anew_and_its_address_changes_with_it() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    assert_eq!(address_of(&anna, &boris).await, Value::Null);
    let sent = picture(600, 10, ImageFormat::Png);
    let me = puts(&anna, "image/png", sent.clone()).await.expect(200);
    let first = address_of(&anna, &boris).await;
    assert_eq!(me["avatar"], first);
    let first = first.as_str().expect("an address").to_owned();
    assert!(
        first.starts_with(&format!("/api/users/{}/avatar/?v=", anna.id)),
        "{first}"
    );

    let seen = server.get(&first).await; // nobody has signed in
    assert_eq!(seen.status, 200);
    assert_eq!(seen.header("content-type"), Some("image/jpeg"));
    assert_eq!(
        seen.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(seen.header("x-content-type-options"), Some("nosniff"));
    assert_ne!(seen.body, sent);
    let decoded = image::load_from_memory(&seen.body).expect("a picture");
    assert_eq!((decoded.width(), decoded.height()), (512, 512));
    // As an image is asked for.
    let as_image = Request::new("GET", &first).header("Accept", "image/*");
    let as_image = as_image.send(server.address()).await;
    assert_eq!((as_image.status, &as_image.body), (200, &seen.body));
    let bare = server.get(&format!("/api/users/{}/avatar/", anna.id)).await;
    assert_eq!(
        (bare.status, bare.header("cache-control")),
        (200, Some("public, no-cache"))
    );

    for (number, format) in [ImageFormat::Jpeg, ImageFormat::WebP]
        .into_iter()
        .enumerate()
    {
        let bytes = picture(20, 100 + number as u8 * 50, format);
        // What it is, its bytes say.
        puts(&anna, "application/octet-stream", bytes)
            .await
            .expect(200);
        assert_ne!(address_of(&anna, &boris).await, first.as_str());
    }
    anna.delete("/api/users/me/avatar/").await.expect(204);
    assert_eq!(address_of(&anna, &boris).await, Value::Null);
    assert_eq!(server.get(&first).await.status, 404);
    anna.delete("/api/users/me/avatar/").await.expect(204);
}

#[tokio::test]
async fn what_is_no_picture_or_too_large_is_refused_and_the_old_one_stays() {
    let server = Server::start_with(|settings| settings.accounts.avatar_bytes = 4096).await;
    let anna = server.user("anna").await;
    let small = picture(20, 10, ImageFormat::Jpeg);
    assert!(small.len() < 4096);
    puts(&anna, "image/jpeg", small).await.expect(200);
    let address = address_of(&anna, &anna).await;
    for wrong in [
        &b""[..],
        b"hello",
        b"GIF89a",
        b"<svg/>",
        b"\x89PNG\r\n\x1a\n",
    ] {
        let refused = puts(&anna, "image/png", wrong.to_vec()).await.expect(400);
        assert_eq!(
            refused,
            json!({"avatar": ["Upload a valid image: PNG, JPEG or WebP."]})
        );
    }
    assert_eq!(puts(&anna, "image/png", vec![0; 4097]).await.status, 413);
    let anonymous = crate::support::Request::new("PUT", "/api/users/me/avatar/");
    assert_eq!(anonymous.send(server.address()).await.status, 401);
    assert_eq!(address_of(&anna, &anna).await, address);
}

#[tokio::test]
async fn an_account_that_ends_takes_its_picture_along() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    puts(&anna, "image/png", picture(20, 10, ImageFormat::Png))
        .await
        .expect(200);
    let address = address_of(&anna, &anna).await;
    let address = address.as_str().expect("an address");
    let files = || {
        std::fs::read_dir(server.uploads())
            .expect("the uploads")
            .count()
    };
    assert_eq!(files(), 1);
    anna.delete("/api/users/me/").await.expect(204);
    assert_eq!(server.get(address).await.status, 404);
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn rpc_changes_name_address_and_photo() {
    let server = Server::start().await;
    let [anna, boris] = server.users(["anna", "boris"]).await;
    let mut phone = Caller::is(&server, &anna).await;
    phone
        .is_refused("changeUsername", json!({"username": "boris"}), "409")
        .await;
    phone
        .is_refused("changeUsername", json!({"username": "a b"}), "422")
        .await;
    phone
        .gets("changeUsername", json!({"username": "annette"}))
        .await;
    let me = anna.get("/api/users/me/").await.expect(200);
    assert_eq!(me["username"], "annette");

    let password = crate::support::person::PASSWORD;
    let email = |address: &str, password: &str| json!({"email": address, "password": password});
    phone
        .is_refused("changeEmail", email("a@example.org", "wrong"), "401")
        .await;
    phone
        .is_refused("changeEmail", email("nowhere", password), "422")
        .await;
    phone
        .gets("changeEmail", email("a@example.org", password))
        .await;
    let me = anna.get("/api/users/me/").await.expect(200);
    assert_eq!(me["email"], "a@example.org");

    let photo = BASE64_STANDARD.encode(picture(300, 10, ImageFormat::Png));
    let content = |content: &str| json!({"content": content, "content_type": "image/png"});
    phone.is_refused("setPhoto", content("%%%"), "422").await;
    phone
        .is_refused("setPhoto", content("aGVsbG8="), "422")
        .await;
    phone.gets("setPhoto", content(&photo)).await;
    assert!(address_of(&anna, &boris).await.is_string());
}

#[tokio::test]
async fn a_picture_that_its_user_shows_no_more_is_swept_when_it_is_old_and_no_other() {
    let server = Server::start().await;
    let anna = server.user("anna").await;
    puts(&anna, "image/png", picture(20, 1, ImageFormat::Png))
        .await
        .expect(200);
    let shown = address_of(&anna, &anna).await;
    let shown = shown.as_str().expect("an address");
    let leaves = |name: String, is_old: bool| {
        let file = std::fs::File::create(server.uploads().join(name)).expect("a file");
        if is_old {
            file.set_modified(SystemTime::now() - Duration::from_secs(7200))
                .expect("an old file");
        }
    };
    // Two were set at the same time, and one of them was shown; an account has ended; one is on its way.
    leaves(format!("avatar-{}-{}", anna.id, "0".repeat(64)), true);
    leaves(format!("avatar-999-{}", "1".repeat(64)), true);
    leaves(format!("avatar-{}-{}", anna.id, "2".repeat(64)), false);
    let count = || std::fs::read_dir(server.uploads()).map_or(0, Iterator::count);
    assert_eq!(count(), 4);
    let _other = server.beside_with(|_| {}).await; // looks at all of them
    until("two of the pictures to be gone", || async {
        (count() == 2).then_some(())
    })
    .await;
    assert_eq!(server.get(shown).await.status, 200);
}
