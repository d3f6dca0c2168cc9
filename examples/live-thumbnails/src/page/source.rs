//! Parts of this crate's own source, as the page about the port shows them: they cannot drift from what runs.

use maud::{Markup, html};

/// What stands in the line that makes the demo elastic.
const ELASTIC: &str = "place_child(";

/// The lines of a file between `// ANCHOR: name` and `// ANCHOR_END: name`, without the indent that they have in common.
/// The book shows the same lines, by the same marks.
pub(super) fn excerpt(file: &'static str, name: &str) -> Vec<&'static str> {
    let (begin, end) = (format!("// ANCHOR: {name}"), format!("// ANCHOR_END: {name}"));
    let lines = file.lines().skip_while(|line| line.trim() != begin).skip(1);
    let lines: Vec<_> = lines.take_while(|line| line.trim() != end).collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().filter(|line| !line.is_empty()).map(indent).min().unwrap_or(0);
    lines.into_iter().map(|line| line.get(common..).unwrap_or_default()).collect()
}

/// These lines as HTML.
pub(super) fn code(lines: &[&str]) -> Markup {
    html! {
        // It may be scrolled sideways, by keyboard too.
        pre tabindex="0" {
            code {
                @for line in lines {
                    @if line.contains(ELASTIC) {
                        mark data-testid="elastic" { (line) "\n" }
                    } @else {
                        span.line.note[line.trim_start().starts_with("//")] { (line) "\n" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_the_lines_between_its_marks_without_their_indent() {
        let file = concat!(
            "a\n    // ANCHOR: x\n    fn x() {\n\n        y();\n    }\n    // ANCHOR_END: x\n",
            "// ANCHOR: z\nz\n// ANCHOR_END: z\n",
        );
        assert_eq!(excerpt(file, "x"), ["fn x() {", "", "    y();", "}"]);
        assert_eq!(excerpt(file, "z"), ["z"]);
        assert!(excerpt(file, "w").is_empty());
    }
}
