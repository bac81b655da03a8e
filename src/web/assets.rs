//! The files of `web/`, as they are served: their digests are made at the first request for one, and what is
//! compressed when it is asked for.
//!
//! The pages' own scripts, styles and fonts lie under an address that names the digest of all of them together: it
//! changes with any of them, so that browsers may keep them for good, and never mix two versions.

use std::{
    collections::HashMap,
    io::Write,
    sync::{LazyLock, OnceLock},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// A file as it is served.
pub(super) struct Asset {
    pub(super) content_type: &'static str,
    pub(super) lifetime: Lifetime,
    /// Scripts of other sites may read it. Whoever imports a module asks for it as for data (CORS).
    pub(super) is_for_all_sites: bool,
    pub(super) bytes: Bytes,
    pub(super) digest: String,
    zipped: OnceLock<Option<Bytes>>,
}

/// How long a browser may keep a file without asking.
#[derive(Clone, Copy)]
pub(super) enum Lifetime {
    Forever,
    AskFirst,
}

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../../web/", $path)))),*]
    };
}

/// What the pages are made of.
const FILES: &[(&str, &[u8])] = files![
    "docs.html"
    "icon.svg"
    "index.html"
    "tertulia.d.ts"
    "tertulia.js"
    "app/conversation.js"
    "app/i18n.js"
    "app/kept.js"
    "app/main.js"
    "app/reason.js"
    "app/store.js"
    "app/text.js"
    "app/ui/app.js"
    "app/ui/avatar.js"
    "app/ui/composer.js"
    "app/ui/conversation.js"
    "app/ui/dialog.js"
    "app/ui/html.js"
    "app/ui/icons.js"
    "app/ui/info.js"
    "app/ui/message.js"
    "app/ui/newchat.js"
    "app/ui/people.js"
    "app/ui/rows.js"
    "app/ui/settings.js"
    "app/ui/sidebar.js"
    "app/ui/signin.js"
    "app/ui/titles.js"
    "app/ui/virtual.js"
    "app/words/en.js"
    "app/words/ru.js"
    "docs/console.js"
    "docs/document.js"
    "docs/main.js"
    "docs/markdown.js"
    "fonts/onest-cyrillic-wght-normal.woff2"
    "fonts/onest-latin-wght-normal.woff2"
    "styles/base.css"
    "styles/conversation.css"
    "styles/docs.css"
    "styles/frame.css"
    "styles/gate.css"
    "styles/list.css"
    "styles/message.css"
    "styles/narrow.css"
    "styles/panels.css"
    "tertulia/errors.js"
    "tertulia/order.js"
    "tertulia/outbox.js"
    "tertulia/session.js"
    "vendor/preact-htm.js"
];
const ASYNCAPI: &str = include_str!("../../openapi/asyncapi.yaml");

/// Stands in a page for the address under which its files are.
const PLACE: &str = "{{files}}";
/// Stands in a page for the links that tell a browser of all its modules at once, instead of one after another.
const MODULES: &str = "<!-- {{modules}} -->";

/// What all addresses here begin with, but for `/` itself: whatever else is asked for needs none of this.
const BEGINNINGS: [&str; 4] = ["/web/", "/tertulia", "/docs/", "/asyncapi."];
/// What the paths of the client's files begin with.
const CLIENT: &str = "tertulia";

static ASSETS: LazyLock<HashMap<String, Asset>> = LazyLock::new(assets);

/// What is served at a path, with the slash at its end and without.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    if path != "/" && !BEGINNINGS.iter().any(|start| path.starts_with(start)) {
        return None;
    }
    let path = match path.strip_suffix('/') {
        Some("") => "/",
        Some(path) => path,
        None => path,
    };
    ASSETS.get(path)
}

fn assets() -> HashMap<String, Asset> {
    let mut all = Sha256::new();
    for (path, bytes) in FILES {
        all.update(path);
        all.update(bytes);
    }
    let place = format!("/web/{}", short(all));
    let mut assets = HashMap::new();
    for (path, bytes) in FILES {
        let content = match content_type(path) {
            HTML => page(path, bytes, &place),
            _ => Bytes::from_static(bytes),
        };
        let address = match *path {
            "index.html" => "/".to_owned(),
            "docs.html" => "/docs/websocket".to_owned(),
            path => {
                let kept = Asset::new(path, Lifetime::Forever, content.clone());
                assets.insert(format!("{place}/{path}"), kept);
                format!("/{path}")
            }
        };
        // Others know the client, too, and by an address that stays.
        if content_type(path) == HTML || path.starts_with(CLIENT) {
            let asked_for = Asset::new(path, Lifetime::AskFirst, content);
            assets.insert(address, asked_for);
        }
    }
    let yaml = Bytes::from_static(ASYNCAPI.as_bytes());
    for (path, bytes) in [("asyncapi.yaml", yaml), ("asyncapi.json", asyncapi_json())] {
        let asset = Asset::new(path, Lifetime::AskFirst, bytes);
        assets.insert(format!("/{path}"), asset);
    }
    assets
}

/// The same document for scripts, which have no reader of YAML. A test holds that it can be read.
fn asyncapi_json() -> Bytes {
    let document: serde_json::Value = serde_yaml_ng::from_str(ASYNCAPI).unwrap_or_default();
    Bytes::from(document.to_string())
}

fn page(path: &str, bytes: &[u8], place: &str) -> Bytes {
    let own = match path {
        "docs.html" => "docs/",
        _ => "app/",
    };
    let modules: Vec<String> = FILES
        .iter()
        .map(|(path, _)| path)
        .filter(|path| path.ends_with(".js"))
        .filter(|path| path.starts_with(own) || !path.starts_with("docs/") && own == "app/")
        .map(|path| format!("<link rel=\"modulepreload\" href=\"{PLACE}/{path}\">"))
        .collect();
    let text = String::from_utf8_lossy(bytes).replace(MODULES, &modules.join("\n    "));
    Bytes::from(text.replace(PLACE, place))
}

const HTML: &str = "text/html; charset=utf-8";

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => HTML,
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("webmanifest") => "application/manifest+json",
        Some("yaml") => "application/yaml; charset=utf-8",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

impl Asset {
    fn new(path: &str, lifetime: Lifetime, bytes: Bytes) -> Self {
        let mut digest = Sha256::new();
        digest.update(&bytes);
        Self {
            content_type: content_type(path),
            lifetime,
            is_for_all_sites: path.starts_with(CLIENT),
            digest: short(digest),
            bytes,
            zipped: OnceLock::new(),
        }
    }

    /// Compressed, where it gets smaller by it: done once, when somebody asks.
    pub(super) fn zipped(&self) -> Option<&Bytes> {
        let zipped = self.zipped.get_or_init(|| {
            let zipped = zip(&self.bytes).filter(|zipped| zipped.len() < self.bytes.len());
            zipped.map(Bytes::from)
        });
        zipped.as_ref()
    }
}

fn zip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Enough of a digest to tell versions apart.
fn short(digest: Sha256) -> String {
    let digest = digest.finalize();
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn files(dir: &Path, root: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            if path.is_dir() && name != "node_modules" {
                files(&path, root, into);
            } else if ["html", "js", "css", "svg", "woff2", "ts"]
                .iter()
                .any(|kind| name.rsplit('.').next() == Some(kind))
            {
                into.insert(name.to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_pages_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there = BTreeSet::new();
        files(&root, &root, &mut there);
        let served: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn the_document_of_the_sockets_is_there_for_scripts() {
        let document: serde_json::Value = serde_json::from_slice(&asyncapi_json()).unwrap();
        assert_eq!(document["asyncapi"], "3.0.0");
        assert!(document["channels"]["chats"]["address"].is_string());
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for path in ["/", "/docs/websocket"] {
            let page = String::from_utf8_lossy(&find(path).unwrap().bytes).into_owned();
            assert!(!page.contains("{{"), "{page}");
            assert!(page.contains("rel=\"modulepreload\""), "{page}");
        }
    }
}
