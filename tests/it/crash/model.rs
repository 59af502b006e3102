//! A file system as a power cut may leave it: what was fsynced is there; of the rest anything may be missing,
//! whatever the order in which it was done.
//!
//! Names and contents are durable apart: a file's content by its own fsync, a name by that of its directory. A
//! move between two directories is two changes, of which the old name never goes without the new one coming.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::watch::Done;

/// A file or a directory, whatever its name.
type Node = usize;
/// The root's number.
const ROOT: Node = 0;

/// Names by directory.
type Names = BTreeMap<Node, BTreeMap<String, Node>>;

#[derive(Debug, Clone, Default)]
struct File {
    content: Vec<u8>,
    /// As the last fsync left it.
    durable: Vec<u8>,
}

/// A change of names that no fsync has made durable yet.
#[derive(Debug, Clone)]
struct Pending {
    change: Change,
    /// The change that it needs: a name goes only where the new one has come.
    after: Option<usize>,
    number: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Add(Node, String, Node),
    Remove(Node, String),
    /// Two directories change places; durable when both of their parents are.
    Exchange {
        one: (Node, String),
        other: (Node, String),
        synced: Vec<Node>,
    },
}

/// How much of what was written without an fsync is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    Nothing,
    Half,
    All,
}

/// What a disk holds after a power cut: paths, of files with their content.
pub type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// The steps so far.
#[derive(Debug, Clone)]
pub struct Disk {
    /// As a process sees it.
    current: Names,
    /// As it is durable.
    durable: Names,
    pending: Vec<Pending>,
    files: BTreeMap<Node, File>,
    next_node: Node,
    next_change: usize,
}

impl Disk {
    /// An empty directory.
    pub fn new() -> Disk {
        let root: Names = BTreeMap::from([(ROOT, BTreeMap::new())]);
        Disk {
            current: root.clone(),
            durable: root,
            pending: Vec::new(),
            files: BTreeMap::new(),
            next_node: ROOT + 1,
            next_change: 0,
        }
    }

    /// What stands in a folder, all of it durable; but for locks, which nothing depends on.
    pub fn of(folder: &Path) -> Disk {
        let mut disk = Disk::new();
        disk.take_in(folder, Path::new(""));
        disk.durable = disk.current.clone();
        disk.pending.clear();
        disk
    }

    fn take_in(&mut self, from: &Path, below: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.step(&Done::CreateDir(path.clone()));
                self.take_in(&entry.path(), &path);
            } else if entry.file_name() != "lock" {
                let content = fs::read(entry.path()).unwrap();
                self.step(&Done::Create(path.clone()));
                self.step(&Done::Write(path.clone(), content));
                self.step(&Done::SyncFile(path));
            }
        }
    }

    /// Does a step.
    pub fn step(&mut self, done: &Done) {
        match done {
            Done::CreateDir(path) => {
                let node = self.add(path);
                self.current.insert(node, BTreeMap::new());
                self.durable.insert(node, BTreeMap::new());
            }
            Done::Create(path) => match self.find(path) {
                // Its content is replaced, its name stays.
                Some(node) => self.file(node).content.clear(),
                None => {
                    let node = self.add(path);
                    self.files.insert(node, File::default());
                }
            },
            Done::Write(path, bytes) => {
                let node = self.find(path).unwrap();
                self.file(node).content.extend(bytes);
            }
            Done::SyncFile(path) => {
                let node = self.find(path).unwrap();
                let file = self.file(node);
                file.durable = file.content.clone();
            }
            Done::Rename(from, to) => {
                let node = self.find(from).unwrap();
                let (from, to) = (self.place(from), self.place(to));
                self.current.get_mut(&from.0).unwrap().remove(&from.1);
                self.current
                    .get_mut(&to.0)
                    .unwrap()
                    .insert(to.1.clone(), node);
                let come = self.pend(Change::Add(to.0, to.1, node), None);
                self.pend(Change::Remove(from.0, from.1), Some(come));
            }
            Done::Link(from, to) => {
                let node = self.find(from).unwrap();
                let to = self.place(to);
                self.current
                    .get_mut(&to.0)
                    .unwrap()
                    .insert(to.1.clone(), node);
                self.pend(Change::Add(to.0, to.1, node), None);
            }
            Done::Exchange(one, other) => {
                let nodes = (self.find(one).unwrap(), self.find(other).unwrap());
                let (one, other) = (self.place(one), self.place(other));
                let mut set = |place: &(Node, String), node| {
                    let names = self.current.get_mut(&place.0).unwrap();
                    names.insert(place.1.clone(), node)
                };
                set(&one, nodes.1);
                set(&other, nodes.0);
                let synced = Vec::new();
                self.pend(Change::Exchange { one, other, synced }, None);
            }
            Done::RemoveFile(path) | Done::RemoveDir(path) => {
                let (dir, name) = self.place(path);
                self.current.get_mut(&dir).unwrap().remove(&name);
                self.pend(Change::Remove(dir, name), None);
            }
            Done::SyncDir(path) => self.sync_dir(path),
        }
    }

    fn sync_dir(&mut self, path: &Path) {
        let dir = self.find(path).unwrap();
        for pending in std::mem::take(&mut self.pending) {
            let Pending {
                mut change,
                after,
                number,
            } = pending;
            let is_durable = match &mut change {
                Change::Add(of, ..) | Change::Remove(of, _) => *of == dir,
                Change::Exchange { one, other, synced } => {
                    synced.push(dir);
                    synced.contains(&one.0) && synced.contains(&other.0)
                }
            };
            match is_durable {
                true => apply(&mut self.durable, &change),
                false => self.pending.push(Pending {
                    change,
                    after,
                    number,
                }),
            }
        }
    }

    /// Everything that the disk may hold if the power fails now.
    pub fn images(&self) -> Vec<Image> {
        let mut images = Vec::new();
        for chosen in 0..1_u32 << self.pending.len() {
            let is_chosen = |at: usize| chosen >> at & 1 == 1;
            let position = |number| self.pending.iter().position(|p| p.number == number);
            let is_sound = self.pending.iter().enumerate().all(|(at, pending)| {
                let needs = pending.after.and_then(position);
                !is_chosen(at) || needs.is_none_or(is_chosen)
            });
            if !is_sound {
                continue;
            }
            let mut names = self.durable.clone();
            for (at, pending) in self.pending.iter().enumerate() {
                if is_chosen(at) {
                    apply(&mut names, &pending.change);
                }
            }
            for content in [Content::Nothing, Content::Half, Content::All] {
                let mut image = Image::new();
                self.image(&names, ROOT, Path::new(""), content, &mut image);
                images.push(image);
            }
        }
        images
    }

    fn image(&self, names: &Names, dir: Node, path: &Path, content: Content, image: &mut Image) {
        for (name, node) in &names[&dir] {
            let path = path.join(name);
            match self.files.get(node) {
                Some(file) => drop(image.insert(path, Some(file.after_a_cut(content)))),
                None => {
                    image.insert(path.clone(), None);
                    self.image(names, *node, &path, content, image);
                }
            }
        }
    }

    fn add(&mut self, path: &Path) -> Node {
        let (dir, name) = self.place(path);
        let node = self.next_node;
        self.next_node += 1;
        self.current
            .get_mut(&dir)
            .unwrap()
            .insert(name.clone(), node);
        self.pend(Change::Add(dir, name, node), None);
        node
    }

    fn pend(&mut self, change: Change, after: Option<usize>) -> usize {
        let number = self.next_change;
        self.next_change += 1;
        self.pending.push(Pending {
            change,
            after,
            number,
        });
        number
    }

    fn file(&mut self, node: Node) -> &mut File {
        self.files.get_mut(&node).unwrap()
    }

    fn find(&self, path: &Path) -> Option<Node> {
        path.iter().try_fold(ROOT, |dir, name| {
            self.current.get(&dir)?.get(name.to_str().unwrap()).copied()
        })
    }

    /// A path's directory and its name there.
    fn place(&self, path: &Path) -> (Node, String) {
        let dir = self.find(path.parent().unwrap()).unwrap();
        (dir, path.file_name().unwrap().to_str().unwrap().to_string())
    }
}

impl File {
    fn after_a_cut(&self, content: Content) -> Vec<u8> {
        match content {
            _ if self.content == self.durable => self.durable.clone(),
            Content::Nothing => self.durable.clone(),
            Content::Half => self.content[..self.content.len() / 2].to_vec(),
            Content::All => self.content.clone(),
        }
    }
}

fn apply(names: &mut Names, change: &Change) {
    match change {
        Change::Add(dir, name, node) => {
            names.get_mut(dir).unwrap().insert(name.clone(), *node);
        }
        Change::Remove(dir, name) => {
            names.get_mut(dir).unwrap().remove(name);
        }
        Change::Exchange { one, other, .. } => {
            let node = |place: &(Node, String)| names[&place.0].get(&place.1).copied();
            if let (Some(at_one), Some(at_other)) = (node(one), node(other)) {
                names
                    .get_mut(&one.0)
                    .unwrap()
                    .insert(one.1.clone(), at_other);
                names
                    .get_mut(&other.0)
                    .unwrap()
                    .insert(other.1.clone(), at_one);
            }
        }
    }
}

/// The files of a folder of an image.
pub fn files_of(image: &Image, folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = image
        .iter()
        .filter(|(path, _)| path.parent() == Some(folder));
    files
        .filter_map(|(path, content)| Some((path.clone(), content.clone()?)))
        .collect()
}

/// Writes an image into an empty folder.
pub fn write(image: &Image, folder: &Path) {
    for (path, content) in image {
        let path = folder.join(path);
        match content {
            None => fs::create_dir(path).unwrap(),
            Some(content) => fs::write(path, content).unwrap(),
        }
    }
}
