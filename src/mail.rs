//! Mail, by SMTP.
//!
//! Not here: what is told to whom (`chat`). Relies on: nothing of ours.
//! Bounded by: `SEND_WITHIN` per mail.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};

/// A server that takes no mail in this time takes none.
const SEND_WITHIN: Duration = Duration::from_secs(20);

/// Sends mail through one server, in one name.
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why no mail was sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The server's URL, or what it said.
    #[error("the mail server: {0}")]
    Server(#[from] lettre::transport::smtp::Error),
    /// An address that can't be.
    #[error("an address: {0}")]
    Address(#[from] lettre::address::AddressError),
    /// The mail itself.
    #[error("the mail: {0}")]
    Message(#[from] lettre::error::Error),
}

impl Mailer {
    /// `url` as in `smtps://user:password@host:465`, or `smtp://host:587?tls=required`.
    pub fn new(url: &str, from: &str) -> Result<Self, MailError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?;
        Ok(Self {
            transport: transport.timeout(Some(SEND_WITHIN)).build(),
            from: from.parse()?,
        })
    }

    /// Sends a text.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to.parse()?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)?;
        self.transport.send(mail).await?;
        Ok(())
    }
}
