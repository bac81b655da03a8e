//! A chat that is there already, and its members by their tokens: a server whose users and chats can't be
//! made here is measured in it, with nothing but the chat dialect.

use std::{fs, io, path::PathBuf};

use super::{error::LoadError, people::Chat};

/// A chat that whoever starts the load has made.
#[derive(clap::Args, Debug)]
pub(super) struct Known {
    /// A chat that is there already, by its number: no chat and no users are made then, and nothing is asked for but
    /// its WebSocket, /ws/chat/ID/. So any server will do that speaks the chat dialect, with its own limits off. Nobody
    /// else may write there meanwhile
    #[arg(long, value_name = "ID", requires = "tokens")]
    chat: Option<u64>,
    /// A file with the access tokens of that chat's members, one a line, each of another member; they are sent as
    /// `Authorization: Bearer`
    #[arg(long, value_name = "FILE", requires = "chat")]
    tokens: Option<PathBuf>,
}

impl Known {
    /// The chat, with a seat for each token; none where none was named.
    pub(super) fn chat(&self) -> Result<Option<Chat>, LoadError> {
        let (Some(id), Some(path)) = (self.chat, &self.tokens) else {
            return Ok(None);
        };
        let tokens = fs::read_to_string(path).and_then(|text| parse(&text));
        match tokens {
            Ok(tokens) => Ok(Some(Chat::known(id, tokens))),
            Err(cause) => Err(LoadError::Tokens {
                path: path.clone(),
                cause,
            }),
        }
    }
}

/// The tokens of a file. An error never shows one.
fn parse(text: &str) -> io::Result<Vec<String>> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let token = line.trim();
        // What a header can't hold would be taken for the request's next line.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = format!("line {} is no token", number + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if !token.is_empty() {
            tokens.push(token.to_owned());
        }
    }
    match tokens.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "it has none")),
        false => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_token_and_an_empty_one_is_none() {
        assert_eq!(parse("a.b-c\n\n d_e \r\n").unwrap(), ["a.b-c", "d_e"]);
    }

    #[test]
    fn what_is_no_token_is_told_by_its_line_and_not_shown() {
        for (text, told) in [
            ("a\nsecret key\n", "line 2 is no token"),
            ("geheim\u{e4}\n", "line 1 is no token"),
            ("a\u{0}b", "line 1 is no token"),
            ("\n \n", "it has none"),
            ("", "it has none"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told);
        }
    }
}
