//! `docs/TROUBLESHOOTING.md`: every message that it quotes is one that the sources say.

use std::path::Path;

/// What stands for a value, in the page and in the sources.
const VALUE: char = '…';

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The lines of the page's ```text boxes, with their numbers.
fn quoted(page: &str) -> Vec<(usize, &str)> {
    let mut inside = None;
    let mut lines = Vec::new();
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(info), None) => inside = Some(info == "text"),
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => lines.push((index + 1, line)),
            (None, _) => {}
        }
    }
    assert_eq!(inside, None, "a box is not closed");
    lines
}

/// The text literals of a source file, as they are said: joined over lines, with … for what is filled in.
fn said(source: &str) -> Vec<String> {
    let source = match source.split_once("#[cfg(test)]\nmod tests {") {
        Some((code, _)) => code,
        None => source,
    };
    let mut said = Vec::new();
    for line in code_without_comments(source)
        .split_inclusive('"')
        .collect::<Vec<_>>()
        .chunks(2)
    {
        if let [_, literal] = line {
            said.push(filled_in(literal.trim_end_matches('"')));
        }
    }
    said
}

/// The source without line comments, and with \" and '"' out of the way, so that every " begins or ends a literal.
fn code_without_comments(source: &str) -> String {
    let lines = source.lines().map(|line| {
        let is_comment = line.trim_start().starts_with("//");
        if is_comment { "" } else { line }
    });
    let joined = lines.collect::<Vec<_>>().join("\n");
    joined.replace("\\\"", "\u{201d}").replace("'\"'", "")
}

fn filled_in(literal: &str) -> String {
    let mut whole = String::new();
    for line in literal.split("\\\n") {
        whole += if whole.is_empty() {
            line
        } else {
            line.trim_start()
        };
    }
    let whole = whole.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut filled = String::new();
    let mut depth = 0;
    for letter in whole.chars() {
        match letter {
            '{' => {
                depth += 1;
                filled.push(VALUE);
            }
            '}' => depth -= 1,
            _ if depth > 0 => {}
            '\u{1}' => filled.push('{'),
            '\u{2}' => filled.push('}'),
            _ => filled.push(letter),
        }
    }
    filled
}

fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            all.extend(said(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_message_of_the_page_is_one_that_a_program_says() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let page = text("docs/TROUBLESHOOTING.md");
    let quoted = quoted(&page);
    assert!(
        quoted.len() >= 40,
        "the page quotes {} messages",
        quoted.len()
    );
    let unknown: Vec<String> = (quoted.into_iter())
        .filter(|(_, line)| {
            !all.iter()
                .any(|said| said.contains(line.trim_matches(VALUE)))
        })
        .map(|(number, line)| format!("docs/TROUBLESHOOTING.md:{number}: no program says: {line}"))
        .collect();
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}

#[test]
fn a_literal_is_read_as_it_is_said() {
    let source = "// \"no\"\nsay(\"topic {topic} is {:?}; \\\n      read {{ it }}\", \"x\")";
    assert_eq!(said(source), ["topic … is …; read { it }", "x"]);
}

#[test]
fn a_changed_message_is_noticed() {
    let page = "```text\nas it was\n```\n```sh\nno message\n```\n";
    assert_eq!(quoted(page), [(2, "as it was")]);
    assert!(
        !said("say(\"as it is\")")
            .iter()
            .any(|said| said.contains("as it was"))
    );
}

/// The headings of a page, as links name them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_between_the_pages_for_people_lead_somewhere() {
    let mut wrong = Vec::new();
    for name in [
        "README.md",
        "docs/FROM_SPARK.md",
        "docs/OPERATIONS.md",
        "docs/TROUBLESHOOTING.md",
    ] {
        let page = text(name);
        for link in page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(name).parent().unwrap();
            let target = match file {
                "" => Path::new(name).to_owned(),
                file => folder.join(file),
            };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&target);
            let is_there = path.exists();
            if !is_there
                || !anchor.is_empty()
                    && !anchors(&text(target.to_str().unwrap())).contains(&anchor.to_owned())
            {
                wrong.push(format!("{name}: {link} leads nowhere"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
