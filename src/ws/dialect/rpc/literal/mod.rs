//! Python literals: the encoding that rpc's clients write with `repr` and read with `ast.literal_eval`.
//!
//! Read are dict, list, tuple, str, int, float, None, True and False. Refused are bytes, complex numbers, sets, string
//! prefixes, strings side by side, integers beyond 64 bits, `\N{}` and surrogates: none of our clients sends them.
//!
//! Relies on: Python's grammar (Language Reference, 2.4 and 6.2); the tests hold the reader against Python itself.
//! Bounded by: `DEPTH_MAX` and `VALUES_MAX` of `value`.

mod write;

pub(super) use self::write::to_literal;
use super::value::{Budget, Value};

/// The text isn't a literal that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoLiteral;

type Read<T> = Result<T, NoLiteral>;

/// Reads one literal, and nothing after it.
pub(super) fn read(text: &str) -> Read<Value> {
    let mut reader = Reader {
        // Python itself takes white space before a literal only as blanks and tabs.
        rest: text.trim_start_matches([' ', '\t']),
        budget: Budget::new(),
    };
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.rest.is_empty() {
        true => Ok(value),
        false => Err(NoLiteral),
    }
}

struct Reader<'t> {
    rest: &'t str,
    budget: Budget,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Read<Value> {
        if !self.budget.take(depth) {
            return Err(NoLiteral);
        }
        self.skip_space();
        match self.peek().ok_or(NoLiteral)? {
            '{' => self.dict(depth + 1),
            '[' => {
                self.next();
                Ok(Value::List(self.items(']', depth + 1)?.0))
            }
            '(' => self.in_parentheses(depth + 1),
            '\'' | '"' => self.string(),
            '0'..='9' | '.' => self.number(false),
            sign @ ('+' | '-') => {
                self.next();
                self.skip_space();
                match self.peek() {
                    Some('0'..='9' | '.') => self.number(sign == '-'),
                    _ => Err(NoLiteral),
                }
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Read<Value> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let value = match &self.rest[..end] {
            "None" => Value::None,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            _ => return Err(NoLiteral),
        };
        self.rest = &self.rest[end..];
        self.ends()?;
        Ok(value)
    }

    fn dict(&mut self, depth: usize) -> Read<Value> {
        self.next();
        let mut entries = Vec::new();
        loop {
            self.skip_space();
            if self.takes('}') {
                return Ok(Value::Dict(entries));
            }
            let key = self.value(depth)?;
            if !is_hashable(&key) {
                return Err(NoLiteral);
            }
            self.expects(':')?;
            entries.push((key, self.value(depth)?));
            self.skip_space();
            if !self.takes(',') && self.peek() != Some('}') {
                return Err(NoLiteral);
            }
        }
    }

    /// What stands up to `end`, and whether a comma stood after the last of it.
    fn items(&mut self, end: char, depth: usize) -> Read<(Vec<Value>, bool)> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        loop {
            self.skip_space();
            if self.takes(end) {
                return Ok((items, has_comma));
            }
            if !items.is_empty() && !has_comma {
                return Err(NoLiteral);
            }
            items.push(self.value(depth)?);
            self.skip_space();
            has_comma = self.takes(',');
        }
    }

    /// A tuple; or, of one without a comma, the thing itself.
    fn in_parentheses(&mut self, depth: usize) -> Read<Value> {
        self.next();
        let (mut items, has_comma) = self.items(')', depth)?;
        match (items.len(), has_comma) {
            (1, false) => items.pop().ok_or(NoLiteral),
            _ => Ok(Value::List(items)),
        }
    }

    fn number(&mut self, is_negative: bool) -> Read<Value> {
        let end = self.number_end();
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.ends()?;
        let lower = text.to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(digits) = lower.strip_prefix(prefix) {
                // Here, and here only, an underscore may come first.
                let digits = digits.strip_prefix('_').unwrap_or(digits);
                return int(digits, radix, is_negative);
            }
        }
        if lower.contains(['.', 'e']) {
            return float(&lower, is_negative);
        }
        // `007` is no number, but `000` is 0.
        if lower.len() > 1 && lower.starts_with('0') && lower.contains(|c| !"0_".contains(c)) {
            return Err(NoLiteral);
        }
        int(&lower, 10, is_negative)
    }

    /// Where a number ends: a sign belongs to it after an `e` that isn't a hexadecimal digit.
    fn number_end(&self) -> usize {
        let is_hexadecimal = self
            .rest
            .get(..2)
            .is_some_and(|it| it.eq_ignore_ascii_case("0x"));
        let mut before = ' ';
        for (at, c) in self.rest.char_indices() {
            let is_sign = "+-".contains(c) && "eE".contains(before) && !is_hexadecimal;
            if !c.is_alphanumeric() && !"._".contains(c) && !is_sign {
                return at;
            }
            before = c;
        }
        self.rest.len()
    }

    fn string(&mut self) -> Read<Value> {
        let quote = self.next().ok_or(NoLiteral)?;
        let triple = [quote; 2].iter().collect::<String>();
        let is_long = self.rest.starts_with(&triple);
        if is_long {
            self.rest = &self.rest[2..];
        }
        let mut text = String::new();
        loop {
            match self.next().ok_or(NoLiteral)? {
                c if c == quote && !is_long => break,
                c if c == quote && self.rest.starts_with(&triple) => {
                    self.rest = &self.rest[2..];
                    break;
                }
                '\\' => self.escape(&mut text)?,
                '\n' | '\r' if !is_long => return Err(NoLiteral),
                '\0' => return Err(NoLiteral),
                // Python reads every kind of line end as one.
                '\r' => {
                    self.takes('\n');
                    text.push('\n');
                }
                c => text.push(c),
            }
        }
        self.ends()?;
        Ok(Value::Str(text))
    }

    fn escape(&mut self, text: &mut String) -> Read<()> {
        let escaped = self.next().ok_or(NoLiteral)?;
        let c = match escaped {
            '\n' => return Ok(()),
            '\r' => {
                self.takes('\n');
                return Ok(());
            }
            '\\' | '\'' | '"' => escaped,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '0'..='7' => self.octal(escaped)?,
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            'N' => return Err(NoLiteral),
            // Whatever else: the backslash stays.
            other => {
                text.push('\\');
                other
            }
        };
        text.push(c);
        Ok(())
    }

    fn octal(&mut self, first: char) -> Read<char> {
        let mut code = first.to_digit(8).ok_or(NoLiteral)?;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.next();
            code = code * 8 + digit;
        }
        char::from_u32(code).ok_or(NoLiteral)
    }

    fn hexadecimal(&mut self, digits: usize) -> Read<char> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.next().and_then(|c| c.to_digit(16));
            code = code << 4 | digit.ok_or(NoLiteral)?;
        }
        // Surrogates are no characters.
        char::from_u32(code).ok_or(NoLiteral)
    }

    /// Blanks, and line ends, which mean nothing within brackets.
    fn skip_space(&mut self) {
        self.rest = self
            .rest
            .trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
    }

    /// A scalar is followed by something that can't belong to it, nor be a second one.
    fn ends(&mut self) -> Read<()> {
        self.skip_space();
        match self.peek() {
            None | Some(',' | ':' | ']' | ')' | '}') => Ok(()),
            Some(_) => Err(NoLiteral),
        }
    }

    fn expects(&mut self, wanted: char) -> Read<()> {
        self.skip_space();
        match self.takes(wanted) {
            true => Ok(()),
            false => Err(NoLiteral),
        }
    }

    fn takes(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }
}

/// Whether Python takes it for a key of a dict. (Tuples of such would do too: no client names anything by one.)
fn is_hashable(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Dict(_))
}

fn int(digits: &str, radix: u32, is_negative: bool) -> Read<Value> {
    let digits = without_underscores(digits)?;
    let signed = if is_negative {
        format!("-{digits}")
    } else {
        digits
    };
    let value = i64::from_str_radix(&signed, radix);
    value.map(Value::Int).map_err(|_| NoLiteral)
}

fn float(text: &str, is_negative: bool) -> Read<Value> {
    let digits = without_underscores(text)?;
    // An underscore stands between digits only.
    if text.contains("_.") || text.contains("._") || text.contains("_e") || text.contains("e_") {
        return Err(NoLiteral);
    }
    let is_plain = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || b".e+-".contains(&b));
    let value: f64 = match is_plain {
        true => digits.parse().map_err(|_| NoLiteral)?,
        false => return Err(NoLiteral),
    };
    Ok(Value::Float(if is_negative { -value } else { value }))
}

fn without_underscores(digits: &str) -> Read<String> {
    let is_misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    match is_misplaced || digits.is_empty() {
        true => Err(NoLiteral),
        false => Ok(digits.replace('_', "")),
    }
}

#[cfg(test)]
mod tests;
