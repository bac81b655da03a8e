use std::{
    io::Write,
    process::{Command, Stdio},
};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::*;
use crate::ws::dialect::rpc::value::{DEPTH_MAX, VALUES_MAX};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Str(value) => serializer.serialize_str(value),
            Value::List(items) => items.serialize(serializer),
            Value::Dict(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

fn string(text: &str) -> Value {
    Value::Str(text.to_owned())
}

/// What Python prints when it is given these lines.
fn python(program: &str, lines: &[String]) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-X", "utf8", "-W", "ignore", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, which the reader is held against");
    let mut stdin = python.stdin.take().unwrap();
    let text = lines.join("\n");
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split('\n').map(str::to_owned).collect()
}

fn values() -> impl Strategy<Value = Value> {
    let text = || {
        prop_oneof![
            any::<String>(),
            "['\"\\\\\\n\\r\\t\u{0}-\u{20}a\u{7f}-\u{a0}\u{2028}я🙂]{0,12}",
        ]
    };
    let scalar = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>()
            .prop_filter("JSON has no others", |float| float.is_finite())
            .prop_map(Value::Float),
        text().prop_map(Value::Str),
    ];
    scalar.prop_recursive(5, 40, 6, move |inner| {
        let entry = (text().prop_map(Value::Str), inner.clone());
        let distinct = |entries: Vec<(Value, Value)>| {
            let mut distinct: Vec<(Value, Value)> = Vec::new();
            for (key, value) in entries {
                if !distinct.iter().any(|(known, _)| *known == key) {
                    distinct.push((key, value));
                }
            }
            Value::Dict(distinct)
        };
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::List),
            prop::collection::vec(entry, 0..6).prop_map(distinct),
        ]
    })
}

#[test]
fn what_is_written_here_python_reads_and_what_it_writes_is_read_here() {
    let mut runner = TestRunner::default();
    let values: Vec<Value> = (0..2000)
        .map(|_| values().new_tree(&mut runner).unwrap().current())
        .collect();
    let written: Vec<String> = values.iter().map(|it| to_literal(it).unwrap()).collect();
    assert!(written.iter().all(|line| !line.contains('\n')));
    let program = "import ast, sys\nfor line in sys.stdin.buffer:\n    \
                   print(repr(ast.literal_eval(line.decode().rstrip('\\n'))))";
    let repeated = python(program, &written);
    assert_eq!(repeated.len(), values.len() + 1);
    for ((value, written), repeated) in values.iter().zip(&written).zip(&repeated) {
        assert_eq!(read(written).as_ref(), Ok(value), "{written}");
        assert_eq!(
            read(repeated).as_ref(),
            Ok(value),
            "{written} came back as {repeated}"
        );
    }
}

/// Python makes values at random and prints `repr`, and beside it the same as JSON.
#[test]
fn what_python_writes_is_read_as_python_means_it() {
    let seed: u64 = rand::random();
    let program = format!(
        r#"
import json, random
print({seed})
r = random.Random({seed})
ALPHABET = "'\"\\\n\r\t\0\x07\x1b\x7f\x85\xa0\u2028 aЯ漢🙂{{}}[](),:"
def text():
    return "".join(r.choice(ALPHABET) for _ in range(r.randrange(8)))
def value(depth):
    kind = r.randrange(6 if depth > 4 else 9)
    if kind == 0: return None
    if kind == 1: return r.random() < 0.5
    if kind == 2: return r.randrange(-2**63, 2**63) if r.random() < 0.5 else r.randrange(-100, 100)
    if kind == 3: return r.choice([round(r.uniform(-1000, 1000), 6), 0.0, -0.0, 1e16, 5e-324, 1e22])
    if kind < 6: return text()
    if kind == 6: return [value(depth + 1) for _ in range(r.randrange(4))]
    if kind == 7: return tuple(value(depth + 1) for _ in range(r.randrange(4)))
    return {{text(): value(depth + 1) for _ in range(r.randrange(4))}}
for _ in range(3000):
    v = value(0)
    print(repr(v))
    print(json.dumps(v))
"#
    );
    let lines = python(&program, &[]);
    assert_eq!(lines.len(), 6002);
    for pair in lines[1..6001].chunks(2) {
        let meant = Value::from_json(&pair[1]).unwrap();
        assert_eq!(
            read(&pair[0]),
            Ok(meant),
            "{} of seed {}",
            pair[0],
            lines[0]
        );
    }
}

/// One literal in many spellings: what Python reads, we read alike, and what it refuses, we refuse.
#[test]
fn spellings_mean_what_they_mean_to_python() {
    let spellings = [
        r"'\x41\u042f\U0001F642\101\60\7'",
        r"'\a\b\f\n\r\t\v\\\'\''",
        r#""it's" "#,
        r"'\d\ \q'",
        "'''it's \"long\" '''",
        r#""""a""""#,
        r"''",
        r"''''''",
        "(1)",
        "(1,)",
        "()",
        "(1, 2,)",
        "[1, ]",
        "[,]",
        "(,)",
        "{,}",
        "[1 2]",
        "{'a': 1,}",
        "{'a' 1}",
        "{'a': }",
        "{'a': 1 'b': 2}",
        "{1: 2, None: 3, 1.5: 4, True: 5}",
        "{[1]: 2}",
        "{{}: 2}",
        "-1",
        "+1",
        "- 1",
        "--1",
        "1_000",
        "1__0",
        "_1",
        "1_",
        "0x_ff",
        "0xFF",
        "0b101",
        "0o17",
        "0o8",
        "007",
        "000",
        "0_0",
        "00.5",
        ".5",
        "1.",
        "-.5e-3",
        "1e5",
        "1E+5",
        "1_0.0_1e1_0",
        "1_.0",
        "1._0",
        "1e",
        ".",
        "1.2.3",
        "0xe+1",
        "1e400",
        "True",
        "true",
        "None",
        "nan",
        "inf",
        "Nonesuch",
        "[None,True]",
        " [1]",
        "[1] ",
        "[ 1\t,\x0c2 ]",
        "[1]]",
        "",
        "'a",
        "'a\\",
        "'\\x4'",
        "'\\u12'",
        "'\\U00110000'",
        "lambda: 0",
        "__import__('os')",
        "[1 for x in y]",
        "1 if 1 else 2",
        "9223372036854775807",
        "-9223372036854775808",
    ];
    let program = "import ast, json, sys\nfor line in sys.stdin.buffer:\n    try: \
                   print(json.dumps(ast.literal_eval(line.decode().rstrip('\\n'))))\n    \
                   except Exception: print('refused')";
    let spellings = spellings.map(str::to_owned);
    let meant = python(program, &spellings);
    assert_eq!(meant.len(), spellings.len() + 1);
    for (spelling, meant) in spellings.iter().zip(&meant) {
        let value = read(spelling);
        match &**meant {
            "refused" => assert_eq!(value, Err(NoLiteral), "{spelling}"),
            "Infinity" => assert_eq!(value, Ok(Value::Float(f64::INFINITY))),
            // JSON has no other keys.
            _ if spelling.starts_with("{1:") => assert!(value.is_ok(), "{spelling}"),
            _ => assert_eq!(value, Ok(Value::from_json(meant).unwrap()), "{spelling}"),
        }
    }
}

#[test]
fn what_no_client_sends_is_refused_though_python_reads_it() {
    for text in [
        "b'a'",
        "u'a'",
        "r'a'",
        "f'a'",
        "1j",
        "1+2j",
        "{1, 2}",
        "set()",
        "'a' 'b'",
        "'a''b'",
        "9223372036854775808",
        "-9223372036854775809",
        "0xffffffffffffffff",
        r"'\N{BULLET}'",
        r"'\ud83d'",
        r"'\ud83d\ude42'",
        "...",
        "[1] # a comment",
    ] {
        assert_eq!(read(text), Err(NoLiteral), "{text}");
    }
}

#[test]
fn lines_and_duplicates_are_read_as_python_does() {
    let frame = "{'mode': 'auth',\n 'x': None,\r\n\t'mode': 'logout'}";
    assert_eq!(read(frame).unwrap().get("mode"), Some(&string("logout")));
    assert_eq!(read("'a\\\nb'"), Ok(string("ab")));
    assert_eq!(read("'''a\r\nb'''"), Ok(string("a\nb")));
    assert_eq!(read("'a\nb'"), Err(NoLiteral));
    assert_eq!(read("'a\0b'"), Err(NoLiteral));
}

#[test]
fn what_is_too_deep_or_too_much_is_no_literal() {
    for (open, close) in [("[", "]"), ("(", ",)"), ("{0: ", "}")] {
        let nested = |depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(NoLiteral));
        assert_eq!(read(&open.repeat(500_000)), Err(NoLiteral));
    }
    let many = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert!(read(&many(VALUES_MAX - 1)).is_ok());
    assert_eq!(read(&many(VALUES_MAX)), Err(NoLiteral));
}
