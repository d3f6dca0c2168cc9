//! Names and words from outside, made fit to be shown.

/// The longest name of a video that is kept, in characters.
const LONGEST: usize = 80;

/// A file's name as it is shown and stored: one line, without its folder, of bounded length.
///
/// It is never part of a path or an argument; this keeps it from harming whoever looks at it.
pub(crate) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = words(last, usize::MAX);
    let mut chars = shown.chars();
    let mut clean: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() {
        clean.pop();
        clean.push('…');
    }
    if clean.is_empty() { "video".to_owned() } else { clean }
}

/// One line without what a terminal or a browser would take for more than letters.
pub(crate) fn words(text: &str, longest: usize) -> String {
    let visible = text.chars().map(|char| if is_hidden(char) { ' ' } else { char });
    let line: String = visible.take(longest).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Control characters, and those that turn the direction of text or have no width.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_folder_and_no_hidden_characters() {
        assert_eq!(clean("../../etc/passwd"), "passwd");
        assert_eq!(clean("C:\\videos\\a b.mp4"), "a b.mp4");
        assert_eq!(clean("  a\n\0b\x1b[2J.mp4 "), "a b [2J.mp4");
        assert_eq!(clean("gpj\u{202e}4pm.exe"), "gpj 4pm.exe");
        assert_eq!(clean("größe 视频.mkv"), "größe 视频.mkv");
        for nameless in ["", "/", "a/", "\n", "\u{200b}"] {
            assert_eq!(clean(nameless), "video", "{nameless:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = clean(&"ü".repeat(500));
        assert_eq!(name.chars().count(), LONGEST);
        assert!(name.ends_with('…'));
    }
}
