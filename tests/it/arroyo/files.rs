//! Every SQL file of ours says which engines it is for; those for both are submitted.

use std::path::{Path, PathBuf};

use super::Scene;

/// Where our SQL files are.
const FOLDERS: [&str; 2] = ["sql", "examples"];
/// What the first lines of a file for both engines have.
const BOTH: &str = "-- Engines: local and Arroyo.";
/// What those of one for ours only have, with why.
const LOCAL: &str = "-- Engines: local only, since ";
/// Lines in which it stands.
const HEAD_LINES: usize = 4;

fn sql_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sql_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What Arroyo's planner refuses and can be seen without planning, in letters that are all small.
const REFUSED: [&str; 7] = [
    "{{",
    "order by 1",
    "\nlimit ",
    "cross join unnest",
    "tumble(…).start",
    "].t",
    "format = 'csv'",
];

#[test]
fn files_that_are_for_both_engines_say_so_and_are_submitted_ready_to_run() {
    let scene = Scene::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut both, mut local) = (0, 0);
    for file in FOLDERS
        .iter()
        .flat_map(|folder| sql_files(&root.join(folder)))
    {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let head = |what: &str| {
            text.lines()
                .take(HEAD_LINES)
                .any(|line| line.starts_with(what))
        };
        assert!(
            head(BOTH) != head(LOCAL),
            "{}: its head does not say for which engines it is",
            file.display()
        );
        if head(LOCAL) {
            local += 1;
            continue;
        }
        both += 1;
        let ended = scene
            .run(&[file.to_str().unwrap(), "--deploy-mode", "cluster"])
            .end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(!ended.said.contains("WARN"), "{name}: {}", ended.said);
        let asked = scene.arroyo.asked("POST", "/pipelines");
        let body = &asked.last().unwrap().body;
        assert_eq!(body["name"], name);
        assert_ready(&scene, &name, body["query"].as_str().unwrap());
    }
    assert!(
        both >= 7 && local >= 1,
        "{both} for both, {local} local only"
    );
}

/// Without variables, with absolute paths, and with nothing that Arroyo refuses; comments do not count.
fn assert_ready(scene: &Scene, name: &str, query: &str) {
    let lines = query.lines().map(|line| line.split("--").next().unwrap());
    let code: Vec<&str> = lines.collect();
    let code = code.join("\n").to_lowercase();
    for refused in REFUSED {
        assert!(!code.contains(refused), "{name}: {refused}\n{code}");
    }
    assert!(
        !code.contains("tumble(interval '1 minute').") && !code.contains(" watermark timestamp"),
        "{name}"
    );
    // Comments between may hold {{ NAME }}; what is read does not.
    let folder = std::fs::canonicalize(scene.path()).unwrap();
    let paths: Vec<&str> = (code.split("path = '").skip(1))
        .map(|rest| rest.split('\'').next().unwrap())
        .collect();
    let has_folder = code.contains("connector = 'filesystem'");
    assert_eq!(paths.is_empty(), !has_folder, "{name}");
    for path in paths {
        let inside = format!("file://{}/data/", folder.display()).to_lowercase();
        // A place in a store is the same for every machine.
        assert!(
            path.starts_with(&inside) || path.starts_with("s3://"),
            "{name}: {path}"
        );
    }
    assert!(
        !has_folder || code.contains("'rolling_policy.interval' = interval '1 "),
        "{name}: no file would ever be closed"
    );
    assert!(
        code.contains("'source.offset' = 'earliest'"),
        "{name}: Arroyo would begin with the latest message"
    );
    // The watermark's expression is not a generated column of the table, which Arroyo refuses.
    let watermark = code
        .split("watermark for event_time as (")
        .nth(1)
        .expect("a watermark");
    assert!(watermark.trim_start().starts_with("cast("), "{name}");
    let unnests = code
        .split("select")
        .map(|select| select.matches("unnest(").count())
        .max();
    assert_eq!(unnests, Some(1), "{name}: two unnests in a SELECT");
}
