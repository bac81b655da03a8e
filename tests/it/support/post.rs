//! A mail server that keeps what it is sent.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::within;

/// Where mail arrives.
pub(crate) struct PostOffice {
    to: SocketAddr,
    mails: mpsc::UnboundedReceiver<String>,
}

impl PostOffice {
    pub(crate) async fn opens() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("an address");
        let (keep, mails) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(takes_mail(stream, keep.clone()));
            }
        });
        Self { to, mails }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.to)
    }

    /// The next mail: whom it is to, and all of it.
    pub(crate) async fn next_mail(&mut self) -> String {
        let mail = within("a mail", self.mails.recv()).await;
        mail.expect("the post office is open")
    }

    /// The code in the next mail.
    pub(crate) async fn next_code(&mut self) -> String {
        let mail = self.next_mail().await;
        let is_code = |line: &&str| {
            line.len() == 10
                && line
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        let code = mail.lines().map(str::trim).find(is_code);
        code.unwrap_or_else(|| panic!("no code in {mail}"))
            .to_owned()
    }
}

async fn takes_mail(mut stream: TcpStream, keep: mpsc::UnboundedSender<String>) -> Option<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 post office\r\n").await.ok()?;
    let mut mail = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        let answer = match line.split(' ').next()? {
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                loop {
                    let line = lines.next_line().await.ok()??;
                    if line == "." {
                        break;
                    }
                    mail += &format!("{line}\n");
                }
                keep.send(std::mem::take(&mut mail)).ok()?;
                "250 kept"
            }
            "RCPT" => {
                mail += &format!("{line}\n");
                "250 ok"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        writer
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
    }
    Some(())
}
