//! As much of YAML as the files for a public host need. What it does not know it refuses, duplicate keys included.

use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, String>;

/// A line that says something: its number, how far it is indented, and its text.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

impl Line<'_> {
    fn refuse<T>(&self, why: &str) -> Result<T> {
        Err(format!("line {}: {why}: {}", self.number, self.text))
    }
}

pub(crate) fn parse(text: &str) -> Result<Value> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let content = line.trim_start_matches(' ');
        let line = Line { number: at + 1, indent: line.len() - content.len(), text: content.trim_end() };
        if line.text.contains('\t') {
            return line.refuse("a tab");
        }
        if !line.text.is_empty() && !line.text.starts_with('#') {
            lines.push(line);
        }
    }
    let mut rest = &lines[..];
    let value = block(&mut rest)?;
    match rest.first() {
        None => Ok(value),
        Some(line) => line.refuse("indented unlike what is before it"),
    }
}

/// A mapping or a list whose lines are indented as the first one is.
fn block(rest: &mut &[Line<'_>]) -> Result<Value> {
    let Some(first) = rest.first().copied() else { return Ok(Value::Null) };
    if first.text == "-" || first.text.starts_with("- ") {
        list(rest, first.indent)
    } else {
        mapping(rest, first.indent)
    }
}

fn list(rest: &mut &[Line<'_>], indent: usize) -> Result<Value> {
    let mut items = Vec::new();
    while let Some(line) = rest.first().copied().filter(|line| line.indent == indent) {
        let Some(item) = line.text.strip_prefix("- ") else { return line.refuse("no item of the list around it") };
        if key(item).is_some() {
            // A mapping that begins beside the dash.
            let mut lines = vec![Line { indent: indent + 2, text: item, ..line }];
            let more = rest[1..].iter().take_while(|line| line.indent > indent).count();
            lines.extend(&rest[1..=more]);
            *rest = &rest[1 + more..];
            let mut inner = &lines[..];
            items.push(mapping(&mut inner, indent + 2)?);
            if let Some(line) = inner.first() {
                return line.refuse("indented unlike what is before it");
            }
        } else {
            *rest = &rest[1..];
            items.push(scalar(&line, item)?);
        }
    }
    Ok(Value::Array(items))
}

fn mapping(rest: &mut &[Line<'_>], indent: usize) -> Result<Value> {
    let mut entries = Map::new();
    while let Some(line) = rest.first().copied().filter(|line| line.indent == indent) {
        let Some((key, value)) = key(line.text) else { return line.refuse("neither `key: value` nor an item") };
        *rest = &rest[1..];
        let deeper = rest.first().is_some_and(|next| next.indent > indent);
        let value = match value {
            "" if deeper => block(rest)?,
            "" => Value::Null,
            "|" => literal(rest, indent),
            _ => scalar(&line, value)?,
        };
        if entries.insert(key.to_owned(), value).is_some() {
            return line.refuse("for the second time");
        }
    }
    Ok(Value::Object(entries))
}

/// The key and what follows it on its line.
fn key(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(": ").or_else(|| Some((text.strip_suffix(':')?, "")))?;
    let is_word = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    (is_word && !key.is_empty()).then_some((key, value.trim()))
}

/// The lines after a `|`.
fn literal(rest: &mut &[Line<'_>], indent: usize) -> Value {
    let count = rest.iter().take_while(|line| line.indent > indent).count();
    let text: Vec<_> = rest[..count].iter().map(|line| line.text).collect();
    *rest = &rest[count..];
    Value::String(text.join("\n"))
}

fn scalar(line: &Line<'_>, text: &str) -> Result<Value> {
    if let Some(list) = text.strip_prefix('[') {
        let Some(items) = list.strip_suffix(']') else { return line.refuse("a list over several lines") };
        return items.split(',').map(|item| scalar(line, item.trim())).collect::<Result<_>>().map(Value::Array);
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let Some(text) = quoted.strip_suffix('"') else { return line.refuse("no quote at its end") };
        return if text.contains(['"', '\\']) { line.refuse("quotes in quotes") } else { Ok(text.into()) };
    }
    // In a plain text these two begin something else, and some first characters mean something.
    if text.contains(": ")
        || text.contains(" #")
        || text.starts_with(['{', '}', '\'', '&', '*', '!', '|', '>', '%', '@', '`'])
    {
        return line.refuse("to be quoted");
    }
    Ok(match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
    })
}

#[test]
fn what_is_written_is_what_is_read() {
    let text = "a:\n  - b: 1\n    c: [x, y]\n  - d: |\n      one\n      two\n# e\nf: \"true\"\ng:\n";
    let expected = serde_json::json!({
        "a": [{ "b": 1, "c": ["x", "y"] }, { "d": "one\ntwo" }], "f": "true", "g": null
    });
    assert_eq!(parse(text), Ok(expected));
}

#[test]
fn what_would_mean_something_else_is_refused() {
    for text in [
        "a: b: c",
        "a: 1\na: 2",
        "a:\n\t- b",
        "a: 1\n   b: 2",
        "a:\n  - b\n - c",
        "- a\nb: c",
        "a: \"b",
        "a: [b,\n c]",
        "a: {b: c}",
    ] {
        assert!(parse(text).is_err(), "{text:?} is {:?}", parse(text));
    }
}
