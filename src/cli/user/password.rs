//! A password as it is given: typed twice without being shown, or a line of the standard input.

use std::io::{self, IsTerminal};

/// The password that somebody types or pipes in. Nothing but the end of the line is cut off.
pub(super) fn read(from_stdin: bool) -> io::Result<String> {
    let stdin = io::stdin();
    if from_stdin || !stdin.is_terminal() {
        let mut line = String::new();
        stdin.read_line(&mut line)?;
        let password = line.strip_suffix('\n').unwrap_or(&line);
        return Ok(password.strip_suffix('\r').unwrap_or(password).to_owned());
    }
    let password = rpassword::prompt_password("Password: ")?;
    let again = rpassword::prompt_password("Password (again): ")?;
    if password != again {
        return Err(io::Error::other("the two are not the same"));
    }
    Ok(password)
}
