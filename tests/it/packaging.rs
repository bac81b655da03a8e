//! What the service is installed and watched with: files that name flags, paths and numbers, each of which is real.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tertulia::{metrics, settings::Settings};

use crate::support::{Request, Server};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every word of a text that begins like this, as far as names go.
fn words<'t>(text: &'t str, begin: &str) -> BTreeSet<&'t str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with(begin) && word.len() > begin.len())
        .collect()
}

/// The metrics that a text names; of a histogram's parts, the histogram.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let known: BTreeSet<&str> = metrics::names().into_iter().collect();
    let of_ours = words(text, "tertulia_").into_iter();
    let named = of_ours.chain(words(text, "process_"));
    let whole = named.map(|name| {
        let parts = ["_bucket", "_sum", "_count"].iter();
        let whole = parts.filter_map(|part| name.strip_suffix(part));
        whole
            .into_iter()
            .find(|whole| known.contains(whole))
            .unwrap_or(name)
    });
    whole.map(str::to_owned).collect()
}

fn all_metrics() -> BTreeSet<String> {
    metrics::names().into_iter().map(str::to_owned).collect()
}

/// Every variable of ours in a text is a setting.
fn names_settings(text: &str) -> usize {
    let settings: BTreeSet<String> = Settings::documented()
        .into_iter()
        .map(|(name, _)| format!("TERTULIA_{}", name.to_uppercase()))
        .collect();
    let named = words(text, "TERTULIA_");
    // `TERTULIA_NAME` stands for any.
    for name in named.iter().filter(|name| **name != "TERTULIA_NAME") {
        assert!(settings.contains(*name), "{name} is no setting");
    }
    named.len()
}

/// The program takes these arguments, and tells of them.
fn is_command(arguments: &[&str]) {
    let told = Command::new(env!("CARGO_BIN_EXE_tertulia"))
        .args(arguments)
        .arg("--help")
        .output()
        .expect("the program");
    assert!(told.status.success(), "tertulia {arguments:?}");
}

/// Whether a program is installed here.
fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':')
        .any(|dir| Path::new(dir).join(program).exists())
}

#[test]
fn the_dashboard_asks_for_every_metric_and_for_no_other() {
    let dashboard: Value = serde_json::from_str(&file("packaging/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let asked: Vec<&str> = targets
        .flatten()
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    assert_eq!(metrics_in(&asked.join("\n")), all_metrics());
    let mut ids: Vec<i64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_i64())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
    for expression in asked {
        let count = |c| expression.matches(c).count();
        assert_eq!(count('('), count(')'), "{expression}");
        assert_eq!(count('{'), count('}'), "{expression}");
    }
}

#[test]
fn the_operators_page_tells_of_every_metric_and_of_no_other() {
    let page = file("docs/operating.md");
    assert_eq!(metrics_in(&page), all_metrics());
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let _yaml: Value =
            serde_yaml_ng::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
    }
    for link in page.split("](../").skip(1) {
        let target = link.split([')', '#']).next().unwrap_or_default();
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
            "{target}"
        );
    }
}

/// The lines of a unit: section, key, value.
fn unit(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .unwrap_or_else(|| panic!("no setting: {line}"));
        lines.push((section.clone(), key.to_owned(), value.to_owned()));
    }
    lines
}

#[test]
fn the_unit_starts_what_there_is_in_a_sandbox() {
    let text = file("packaging/tertulia.service");
    let lines = unit(&text);
    let get = |key: &str| {
        let line = lines.iter().find(|(_, name, _)| name == key);
        line.unwrap_or_else(|| panic!("{key}")).2.as_str()
    };
    let (program, arguments) = get("ExecStart").split_once(' ').expect("arguments");
    assert!(program.ends_with("/tertulia"));
    is_command(&arguments.split(' ').collect::<Vec<_>>());
    assert!(names_settings(&text) >= 2);
    let state = format!("TERTULIA_DATA_DIR=/var/lib/{}", get("StateDirectory"));
    assert!(
        lines
            .iter()
            .any(|(_, key, value)| key == "Environment" && *value == state)
    );
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("MemoryDenyWriteExecute", "yes"),
    ] {
        assert_eq!(get(key), value);
    }

    if !is_there("systemd-analyze") {
        eprintln!("no systemd-analyze here: the unit was read by this test alone");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let here = dir.path().join("tertulia.service");
    let with_ours = text.replace(program, env!("CARGO_BIN_EXE_tertulia"));
    fs::write(&here, with_ours).expect("written");
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&here)
        .output();
    let verified = verified.expect("systemd-analyze");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // It tells of other units of this machine, too.
    let of_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("tertulia.service"))
        .collect();
    assert!(of_ours.is_empty(), "{of_ours:#?}");
}

#[test]
fn nginx_takes_the_example() {
    let text = file("packaging/nginx.conf");
    assert!(names_settings(&text) >= 3);
    let settings = Settings::defaults();
    assert!(text.contains(&format!("server {};", settings.listening.bind[0])));
    if !is_there("nginx") {
        eprintln!("no nginx here: the example was not tried");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let here = |name: &str| dir.path().join(name).display().to_string();
    let vectors = format!("{}/tests/vectors/tls", env!("CARGO_MANIFEST_DIR"));
    // On sockets of its own, with paths that are here.
    let site = text
        .replace(
            "listen 80;",
            &format!("listen unix:{};", here("plain.sock")),
        )
        .replace(
            "listen 443 ssl",
            &format!("listen unix:{} ssl", here("tls.sock")),
        )
        .replace("listen [::]:80;", "")
        .replace("listen [::]:443 ssl http2;", "")
        .replace(
            "/etc/ssl/certs/chat.example.pem",
            &format!("{vectors}/one.pem"),
        )
        .replace(
            "/etc/ssl/private/chat.example.key",
            &format!("{vectors}/one.key"),
        )
        .replace("/var/log/nginx/tertulia.log", &here("access.log"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|of| format!("{of}_temp_path {};\n", here(of)))
        .collect();
    let (pid, log) = (here("nginx.pid"), here("error.log"));
    let whole = format!(
        "pid {pid};\nerror_log {log};\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{site}\n}}\n"
    );
    fs::write(here("nginx.conf"), whole).expect("written");
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let tried = Command::new("nginx")
        .env("PATH", path)
        .args(["-t", "-q", "-e", &log, "-p"])
        .arg(dir.path())
        .args(["-c", &here("nginx.conf")])
        .output()
        .expect("nginx");
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(
        tried.status.success(),
        "{said}{}",
        fs::read_to_string(&log).unwrap_or_default()
    );
}

#[test]
fn nginx_tells_everywhere_which_host_is_asked_for() {
    for name in ["packaging/nginx.conf", "examples/nginx.conf"] {
        let text = file(name);
        let places: Vec<&str> = text
            .split("location ")
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .filter(|place| place.contains("proxy_pass "))
            .collect();
        assert!(!places.is_empty(), "{name}");
        for place in places {
            // Else it tells the name of the upstream, which isn't among ALLOWED_HOSTS.
            assert!(
                place.contains("proxy_set_header Host $http_host;"),
                "{name}: {place}"
            );
        }
    }
}

#[tokio::test]
async fn whoever_watches_over_the_service_may_call_it_by_any_name_and_nobody_else() {
    let server = Server::start_with(|settings| {
        settings.listening.allowed_hosts = vec!["chat.example".to_owned()];
    })
    .await;
    let asks = async |target: &str, host: &str| {
        let request = Request::new("GET", target).header("Host", host);
        request.send(server.address()).await.status
    };
    // nginx's upstream, and the address of a node.
    for host in ["tertulia", "10.0.0.5:8000", "chat.example"] {
        for target in ["/healthz", "/readyz", "/readyz/"] {
            assert_eq!(asks(target, host).await, 200, "{target} of {host}");
        }
    }
    for target in ["/api/users/me/", "/metrics", "/healthz/more", "/"] {
        assert_eq!(asks(target, "tertulia").await, 400, "{target}");
        assert_ne!(asks(target, "chat.example").await, 400, "{target}");
    }
}

/// A Dockerfile's instructions, each on one line.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter(|line| !line.trim().is_empty());
    instructions
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
            (word.to_owned(), rest)
        })
        .collect()
}

#[test]
fn the_image_is_built_of_what_there_is() {
    let text = file("packaging/Dockerfile");
    let lines = instructions(&text);
    let known = [
        "FROM",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "ENV",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    ];
    let mut stages = BTreeSet::new();
    for (word, rest) in &lines {
        assert!(known.contains(&word.as_str()), "{word}");
        if word == "FROM" {
            stages.extend(rest.split_once(" AS ").map(|(_, name)| name));
        }
        if let Some(from) = rest.strip_prefix("--from=") {
            let stage = from.split(' ').next().unwrap_or_default();
            assert!(stages.contains(stage), "{stage} is no stage before this");
        }
    }
    let last = |word: &str| {
        let found = lines.iter().rev().find(|(name, _)| name == word);
        found.unwrap_or_else(|| panic!("{word}")).1.as_str()
    };

    // The toolchain, the package and the program are the workspace's.
    let manifest = file("Cargo.toml");
    let line = |key: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key}"))
            .trim_matches('"')
            .to_owned()
    };
    let toolchain = format!("FROM rust:{}-alpine AS build", line("rust-version = "));
    assert!(text.contains(&toolchain), "{toolchain}");
    let build = "cargo build --release --locked --package tertulia --bin tertulia";
    assert!(text.contains(build));
    assert!(manifest.contains("[[bin]]\nname = \"tertulia\""));

    // The program lies where it is started, as nobody in particular, on a directory of its own.
    let command = |word: &str| -> Vec<String> {
        serde_json::from_str(last(word)).unwrap_or_else(|error| panic!("{word}: {error}"))
    };
    let (entry, arguments) = (command("ENTRYPOINT"), command("CMD"));
    assert!(text.contains(&format!("target/release/tertulia /image{}", entry[0])));
    is_command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(last("FROM"), "scratch");
    let user = last("USER")
        .split(':')
        .next()
        .and_then(|id| id.parse::<u32>().ok());
    assert!(
        user.is_some_and(|user| user > 0),
        "a number: there are no names in it"
    );
    assert!(names_settings(&text) >= 3);
    assert!(text.contains(&format!("TERTULIA_DATA_DIR={}", last("VOLUME"))));
    assert!(text.contains(&format!("TERTULIA_BIND=0.0.0.0:{}", last("EXPOSE"))));
    assert!(text.contains(&format!("/image{}", last("VOLUME"))));

    // Nothing that is built from is left out of what the builder sees.
    let left_out = file(".dockerignore");
    for needed in [
        "src",
        "entity",
        "migration",
        "bench",
        "openapi",
        "web",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        assert!(
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join(needed)
                .exists()
        );
        assert!(
            left_out
                .lines()
                .all(|line| line.trim_matches('/') != needed),
            "{needed}"
        );
    }
}
