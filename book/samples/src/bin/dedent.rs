//! A preprocessor for mdBook, which gives it the pages as JSON: takes the indentation from included code that all of
//! its lines have. What stands in the middle of a function begins at the margin then.

use std::io;

use serde_json::Value;

fn main() -> anyhow::Result<()> {
    // `supports html`: it is asked whether it works for an output format, and does for each.
    if std::env::args().nth(1).is_some_and(|arg| arg == "supports") {
        return Ok(());
    }
    let (_context, mut book): (Value, Value) = serde_json::from_reader(io::stdin())?;
    walk(&mut book);
    Ok(serde_json::to_writer(io::stdout(), &book)?)
}

/// Changes every `content` of a chapter.
fn walk(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "content" => *text = flame_book::dedent(text),
                    field => walk(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        _ => {}
    }
}
