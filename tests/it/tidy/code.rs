//! Reads Rust just well enough: what a file imports, without its comments, strings and tests.

use std::collections::BTreeSet;

/// Names after `crate::`, and after the `super::` that leaves the room.
pub fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in ["crate::", "super::super::"] {
        for rest in code.split(path).skip(1) {
            match rest.trim_start().strip_prefix('{') {
                None => names.extend(first_word(rest)),
                Some(group) => names.extend(group_heads(group)),
            }
        }
    }
    names
}

/// First words of the paths in `a::{b, c}, d::e}`: a and d.
pub fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut at_start) = (0, Vec::new(), true);
    for (index, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            char if at_start && depth == 0 && !char.is_whitespace() => {
                heads.extend(first_word(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    heads
}

pub fn first_word(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_string())
}

/// Whether code names a crate: `name::…` or `use name;`, but not `other_name::` or `room::name::`.
pub fn uses(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(start, _)| {
        let before = code[..start].trim_end_matches(' ');
        let rest = &code[start + name.len()..];
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            || code[..start].ends_with(' ');
        let is_path = rest.starts_with("::") || (before.ends_with("use") && !rest.starts_with('_'));
        whole && is_path && !before.ends_with("::") && !before.ends_with('.')
    })
}

/// What the compiler sees of a file outside its tests.
pub fn code(text: &str) -> String {
    without_comments_and_strings(without_tests(text))
}

/// The file up to its test module, which stands last.
pub fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

/// Comments go, strings become empty, lines stay.
pub fn without_comments_and_strings(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let skipped = match char {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if !kept.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw_string(rest),
            '"' => string(rest),
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\") => rest[2..].find('\'').map_or(2, |end| end + 3),
            _ => 0,
        };
        if skipped == 0 {
            kept.push(char);
            rest = &rest[char.len_utf8()..];
        } else {
            kept.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    kept
}

/// Bytes of the string that `text` begins with.
pub fn string(text: &str) -> usize {
    let mut escaped = false;
    for (index, char) in text.char_indices().skip(1) {
        match char {
            '"' if !escaped => return index + 1,
            _ => escaped = char == '\\' && !escaped,
        }
    }
    text.len()
}

/// Bytes of the raw string that `text` begins with; 0 if it begins with none.
pub fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 1 + hashes + 1;
    text[start..]
        .find(&end)
        .map_or(text.len(), |at| start + at + end.len())
}

#[test]
fn code_is_read_without_comments_strings_and_tests() {
    let text = "use crate::a; // crate::b\nlet s = \"crate::c \\\" {\"; let q = '\"';\nlet r = r#\"crate::d\"#;\n\
                use crate::{e::{f, g}, h};\n/* crate::i */ var.rdkafka::x\n\n#[cfg(test)]\nmod tests {\n    use crate::j;\n}\n";
    let code = code(text);
    let names: Vec<String> = imports(&code).into_iter().collect();
    assert_eq!(names, ["a", "e", "h"]);
    assert!(!uses(&code, "rdkafka"));
    assert!(uses("use rdkafka::X;", "rdkafka") && uses("use rdkafka;", "rdkafka"));
    assert!(uses("let x = rdkafka::y();", "rdkafka"));
    assert!(!uses(
        "my_rdkafka::y(); crate::rdkafka::y(); use rdkafka_sys::z;",
        "rdkafka"
    ));
}
