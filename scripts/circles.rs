//! Finds import circles in the sources of the crates, and says which arrow must go.
//!
//! The rule: no file is in a circle with a file of another folder, and no more than two files of one folder are
//! in a circle. A file has an arrow to each file that defines what it imports or names by a path, wherever that
//! is re-exported; `mod x;` is no arrow, nor is what only tests name. A file beside a folder of its name
//! (`tenure.rs` and `tenure/`) counts to that folder, as `tenure/mod.rs` would.
//!
//! `scripts/circles.sh` compiles, tests and runs it. The exit code is 1 if there is a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

const CRATES: [&str; 3] = ["lock-runtime/src", "lock-macros/src", "lock-cli/src"];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let answer = match arguments[..] {
        [] => check(),
        ["--lines"] => lines().map(|()| ExitCode::SUCCESS),
        _ => {
            eprintln!("usage: scripts/circles.sh [--lines]");
            return ExitCode::from(2);
        }
    };
    answer.unwrap_or_else(|error| {
        eprintln!("circles: {error}");
        ExitCode::from(2)
    })
}

fn check() -> io::Result<ExitCode> {
    let mut found = 0;
    for source in CRATES {
        let sources = read(source, &["rs"])?;
        let program = Program::new(&sources);
        for path in sources.keys().filter(|path| !program.files.contains(path)) {
            eprintln!(
                "{source}/{path}: not looked at, since no `mod` outside of tests leads to it"
            );
        }
        for circle in program.circles() {
            found += 1;
            print!("{}", program.report(source, &circle));
        }
    }
    if found == 0 {
        println!("no import circles");
        return Ok(ExitCode::SUCCESS);
    }
    println!("import circles: {found}");
    Ok(ExitCode::FAILURE)
}

/// Prints the lines of each room, which is a folder or a file right under `src`.
fn lines() -> io::Result<()> {
    let mut all = 0;
    for source in CRATES {
        let rooms = rooms(&read(source, &["rs", "lua"])?);
        let sum: usize = rooms.values().sum();
        println!("{sum:7}  {source}");
        for (room, lines) in rooms {
            println!("{lines:7}      {room}");
        }
        all += sum;
    }
    println!("{all:7}  in all");
    Ok(())
}

fn rooms(sources: &Sources) -> BTreeMap<String, usize> {
    let mut rooms = BTreeMap::new();
    for (path, text) in sources {
        let room = path.split('/').next().unwrap_or(path);
        let room = room.strip_suffix(".rs").unwrap_or(room);
        *rooms.entry(room.to_owned()).or_insert(0) += text.lines().count();
    }
    rooms
}

/// The text of each file, by its path below `src`.
type Sources = BTreeMap<String, String>;

/// Reads the files with these extensions, but for those of tests.
fn read(root: &str, extensions: &[&str]) -> io::Result<Sources> {
    let mut sources = Sources::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let place = Path::new(root).join(&folder);
        for entry in fs::read_dir(&place).map_err(|error| in_file(&place, &error))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = join(&folder, &name);
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if extensions
                .iter()
                .any(|extension| name.ends_with(&format!(".{extension}")))
                && !of_tests(&path)
            {
                let text = fs::read_to_string(entry.path())
                    .map_err(|error| in_file(&entry.path(), &error))?;
                sources.insert(path, text);
            }
        }
    }
    Ok(sources)
}

fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn of_tests(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The folder that a path is in, and its last part.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

// --- tokens

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Word,
    Text,
    Mark,
}

#[derive(Clone, PartialEq, Debug)]
struct Token {
    kind: Kind,
    text: String,
    line: usize,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }

    fn word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// The tokens of Rust, without comments, lifetimes and what characters and numbers say. `::` is one.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let (mut tokens, mut index, mut line) = (Vec::new(), 0, 1);
    while index < chars.len() {
        let start = index;
        let mut put = |kind, text: String| tokens.push(Token { kind, text, line });
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                let mut open = 0;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (open, index) = (open + 1, index + 2),
                        ('*', '/') => (open, index) = (open - 1, index + 2),
                        _ => index += 1,
                    }
                    if open == 0 || index >= chars.len() {
                        break;
                    }
                }
            }
            '"' => {
                index = end_of_text(&chars, index, '"');
                put(
                    Kind::Text,
                    chars[start + 1..(index - 1).max(start + 1)]
                        .iter()
                        .collect(),
                );
            }
            '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => {
                index = end_of_text(&chars, index, '\'')
            }
            '\'' => {
                index += 1;
                while is_word(at(index)) {
                    index += 1;
                }
            }
            c if is_word(c) => {
                while is_word(at(index)) {
                    index += 1;
                }
                let word: String = chars[start..index].iter().collect();
                let hashes = chars[index..].iter().take_while(|c| **c == '#').count();
                if matches!(&word[..], "r" | "br" | "cr") && at(index + hashes) == '"' {
                    index += hashes + 1;
                    let text = index;
                    while index < chars.len()
                        && !(at(index) == '"' && (1..=hashes).all(|hash| at(index + hash) == '#'))
                    {
                        index += 1;
                    }
                    put(Kind::Text, chars[text..index].iter().collect());
                    index += hashes + 1;
                } else if word == "r" && hashes == 1 && is_word(at(index + 1)) {
                    index += 1;
                    let name = index;
                    while is_word(at(index)) {
                        index += 1;
                    }
                    put(Kind::Word, chars[name..index].iter().collect());
                } else if !(matches!(&word[..], "b" | "c") && matches!(at(index), '"' | '\'')) {
                    put(Kind::Word, word); // else a literal follows, for which its letter says nothing
                }
            }
            ':' if at(index + 1) == ':' => {
                index += 2;
                put(Kind::Mark, "::".to_owned());
            }
            c => {
                index += 1;
                if !c.is_whitespace() {
                    put(Kind::Mark, c.to_string());
                }
            }
        }
        index = index.min(chars.len());
        line += chars[start..index].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The index behind the literal that begins at `start` and ends with `quote`.
fn end_of_text(chars: &[char], start: usize, quote: char) -> usize {
    let mut index = start + 1;
    while index < chars.len() && chars[index] != quote {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(chars.len())
}

/// The index of what closes the bracket at `open`.
fn close(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.kind == Kind::Mark {
            match &token.text[..] {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return index;
            }
        }
    }
    tokens.len()
}

// --- modules

#[derive(Debug)]
struct Named {
    path: Vec<String>,
    line: usize,
}

#[derive(Debug)]
struct Import {
    /// What it is called here, or `*`.
    name: String,
    named: Named,
}

#[derive(Debug)]
struct Module {
    file: usize,
    parent: Option<usize>,
    /// More than one of a name where features decide which.
    children: BTreeMap<String, Vec<usize>>,
    defined: BTreeSet<String>,
    imports: Vec<Import>,
    /// The paths in code.
    paths: Vec<Named>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Target {
    Module(usize),
    /// Something that is defined in this file.
    Item(usize),
}

/// The place in one file at which its reader is.
struct Scope<'a> {
    module: usize,
    /// Where the files of the modules that it declares are.
    folder: &'a str,
    /// What is read stands right in a module, and so is seen by others.
    top: bool,
}

#[derive(Default)]
struct Program {
    files: Vec<String>,
    modules: Vec<Module>,
    /// From a file to another, with the line and the words of each place.
    arrows: BTreeMap<(usize, usize), Vec<(usize, String)>>,
}

const ITEMS: [&str; 14] = [
    "async",
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "use",
];

impl Program {
    fn new(sources: &Sources) -> Self {
        let mut program = Self::default();
        for root in ["lib.rs", "main.rs"] {
            if sources.contains_key(root) {
                program.add(sources, root, None, "");
            }
        }
        program.draw();
        program
    }

    /// Adds the module that a file is, and all below.
    fn add(&mut self, sources: &Sources, path: &str, parent: Option<usize>, folder: &str) -> usize {
        let file = match self.files.iter().position(|file| file == path) {
            Some(file) => file,
            None => {
                self.files.push(path.to_owned());
                self.files.len() - 1
            }
        };
        let module = self.module(file, parent);
        let top = true;
        self.walk(
            sources,
            &tokens(&sources[path]),
            &Scope {
                module,
                folder,
                top,
            },
        );
        module
    }

    fn module(&mut self, file: usize, parent: Option<usize>) -> usize {
        let (children, defined, imports, paths) = Default::default();
        self.modules.push(Module {
            file,
            parent,
            children,
            defined,
            imports,
            paths,
        });
        self.modules.len() - 1
    }

    fn walk(&mut self, sources: &Sources, tokens: &[Token], scope: &Scope) {
        let is = |index: usize, text: &str| tokens.get(index).is_some_and(|token| token.is(text));
        let word = |index: usize| tokens.get(index).is_some_and(Token::word);
        let (mut places, mut default, mut skip) = (Vec::new(), true, false);
        let mut index = 0;
        while index < tokens.len() {
            let token = &tokens[index];
            if token.is("#") && (is(index + 1, "[") || (is(index + 1, "!") && is(index + 2, "["))) {
                let open = if is(index + 1, "[") {
                    index + 1
                } else {
                    index + 2
                };
                let end = close(tokens, open);
                let inside = &tokens[open + 1..end.min(tokens.len())];
                skip |= is(index + 1, "[") && only_tests(inside);
                if let Some(place) = inside
                    .windows(3)
                    .find(|three| three[0].is("path") && three[1].is("="))
                {
                    places.push(place[2].text.clone());
                    default = inside[0].is("cfg_attr");
                }
                index = end + 1;
                continue;
            }
            let places = std::mem::take(&mut places);
            let default = std::mem::replace(&mut default, true);
            if std::mem::take(&mut skip) {
                index = end_of_item(tokens, index);
            } else if token.is("pub") && is(index + 1, "(") {
                index = close(tokens, index + 1) + 1; // `pub(in crate::a)` names no need
            } else if token.is("mod") && word(index + 1) && is(index + 2, ";") {
                self.declare(sources, scope, &tokens[index + 1].text, &places, default);
                index += 3;
            } else if token.is("mod") && word(index + 1) && is(index + 2, "{") {
                let name = &tokens[index + 1].text;
                let end = close(tokens, index + 2);
                let module = self.module(self.modules[scope.module].file, Some(scope.module));
                self.adopt(scope.module, name, module);
                let inner = Scope {
                    module,
                    folder: &join(scope.folder, name),
                    top: true,
                };
                self.walk(sources, &tokens[index + 3..end], &inner);
                index = end + 1;
            } else if token.is("use") && !is(index + 1, "<") {
                let end = (index..tokens.len())
                    .find(|at| is(*at, ";"))
                    .unwrap_or(tokens.len());
                let outside: &[String] = match is(index + 1, "::") {
                    true => &["::".to_owned()], // a module here is not meant
                    false => &[],
                };
                self.import(scope.module, &tokens[index + 1..end], outside);
                index = end + 1;
            } else if scope.top
                && is(index + 1, "!")
                && token.word()
                && !token.is("macro_rules")
                && is(index + 2, "{")
            {
                let end = close(tokens, index + 2);
                self.walk(sources, &tokens[index + 3..end], scope); // such as `thread_local!`
                index = end + 1;
            } else if token.is("{") {
                let end = close(tokens, index);
                let inner = Scope {
                    top: false,
                    ..*scope
                };
                self.walk(sources, &tokens[index + 1..end], &inner);
                index = end + 1;
            } else if token.word() && is(index + 1, "::") {
                let mut path = vec![token.text.clone()];
                let mut end = index + 1;
                while is(end, "::") && word(end + 1) {
                    path.push(tokens[end + 1].text.clone());
                    end += 2;
                }
                let before = index
                    .checked_sub(1)
                    .map_or("", |before| &tokens[before].text[..]);
                if !matches!(before, "::" | "." | "#") && (before != "$" || token.is("crate")) {
                    self.modules[scope.module].paths.push(Named {
                        path,
                        line: token.line,
                    });
                }
                index = end;
            } else {
                if scope.top
                    && let Some(name) = defines(tokens, index)
                {
                    self.modules[scope.module].defined.insert(name);
                }
                index += 1;
            }
        }
    }

    /// Reads the file of `mod name;`, or the files where features decide which it is.
    fn declare(
        &mut self,
        sources: &Sources,
        scope: &Scope,
        name: &str,
        places: &[String],
        default: bool,
    ) {
        let own = split(&self.files[self.modules[scope.module].file])
            .0
            .to_owned();
        let mut found: Vec<(String, String)> = places
            .iter()
            .map(|place| normal(&join(&own, place)))
            .map(|path| (path.clone(), split(&path).0.to_owned()))
            .collect();
        if default {
            let folder = join(scope.folder, name);
            found.push((format!("{folder}.rs"), folder.clone()));
            found.push((join(&folder, "mod.rs"), folder));
        }
        for (path, folder) in found {
            if sources.contains_key(&path) {
                let module = self.add(sources, &path, Some(scope.module), &folder);
                self.adopt(scope.module, name, module);
            }
        }
    }

    fn adopt(&mut self, parent: usize, name: &str, child: usize) {
        self.modules[parent]
            .children
            .entry(name.to_owned())
            .or_default()
            .push(child);
    }

    /// Reads one branch of a `use`, which may fork.
    fn import(&mut self, module: usize, tokens: &[Token], before: &[String]) {
        let mut path = before.to_vec();
        let mut index = 0;
        while let Some(token) = tokens.get(index) {
            if token.is("{") {
                let end = close(tokens, index);
                let mut start = index + 1;
                while start < end {
                    let mut stop = start;
                    while stop < end && !tokens[stop].is(",") {
                        stop = if tokens[stop].is("{") {
                            close(tokens, stop) + 1
                        } else {
                            stop + 1
                        };
                    }
                    self.import(module, &tokens[start..stop], &path);
                    start = stop + 1;
                }
                return;
            }
            if token.is("as") {
                break;
            }
            if token.is("*") || (token.word() && !(token.is("self") && !path.is_empty())) {
                path.push(token.text.clone());
            }
            index += 1;
        }
        let Some(last) = tokens.first().and(path.last()).cloned() else {
            return;
        };
        let line = tokens[0].line;
        let name = match tokens.get(index + 1) {
            Some(alias) => alias.text.clone(),
            None => last,
        };
        self.modules[module].imports.push(Import {
            name,
            named: Named { path, line },
        });
    }

    // --- arrows

    fn draw(&mut self) {
        for module in 0..self.modules.len() {
            let Module {
                file,
                imports,
                paths,
                ..
            } = &self.modules[module];
            let uses = imports.iter().map(|import| (&import.named, "use "));
            let mut arrows = Vec::new();
            // What a path in code begins with has been imported, if it is no module.
            let through_a_module = |named: &&Named| {
                let first = self.resolve(module, &named.path[..1], &mut BTreeSet::new());
                first
                    .iter()
                    .any(|target| matches!(target, Target::Module(_)))
            };
            let in_code = paths.iter().filter(through_a_module);
            for (named, how) in uses.chain(in_code.map(|named| (named, ""))) {
                let (glob, path) = match named.path.split_last() {
                    Some((last, path)) if last == "*" => (true, path),
                    _ => (false, &named.path[..]),
                };
                for target in self.resolve(module, path, &mut BTreeSet::new()) {
                    let to = match target {
                        Target::Item(to) => to,
                        Target::Module(other) if glob => self.modules[other].file,
                        Target::Module(_) => continue, // what is named of it is an arrow by itself
                    };
                    if to != *file {
                        arrows.push((
                            (*file, to),
                            (named.line, format!("{how}{}", named.path.join("::"))),
                        ));
                    }
                }
            }
            for (arrow, place) in arrows {
                let places = self.arrows.entry(arrow).or_default();
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }

    /// What a path means in a module: nothing, if it is of another crate.
    fn resolve(
        &self,
        from: usize,
        path: &[String],
        seen: &mut BTreeSet<(usize, String)>,
    ) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        let mut targets = match &first[..] {
            "self" => BTreeSet::from([Target::Module(from)]),
            "super" => self.modules[from]
                .parent
                .map(Target::Module)
                .into_iter()
                .collect(),
            "crate" => {
                let mut root = from;
                while let Some(parent) = self.modules[root].parent {
                    root = parent;
                }
                BTreeSet::from([Target::Module(root)])
            }
            name => self.lookup(from, name, seen),
        };
        for name in rest {
            if targets
                .iter()
                .any(|target| matches!(target, Target::Module(_)))
            {
                targets.retain(|target| matches!(target, Target::Module(_)));
            }
            let mut next = BTreeSet::new();
            for target in targets {
                match target {
                    Target::Item(_) => {
                        next.insert(target);
                    }
                    Target::Module(module) if name == "super" => {
                        next.extend(self.modules[module].parent.map(Target::Module));
                    }
                    Target::Module(module) => {
                        let found = self.lookup(module, name, seen);
                        if found.is_empty() && !self.foreign(module, name) {
                            next.insert(Target::Item(self.modules[module].file)); // such as what a macro makes
                        }
                        next.extend(found);
                    }
                }
            }
            targets = next;
        }
        targets
    }

    /// What a name means in a module.
    fn lookup(
        &self,
        module: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> BTreeSet<Target> {
        let mut targets = BTreeSet::new();
        if !seen.insert((module, name.to_owned())) {
            return targets;
        }
        let Module {
            file,
            children,
            defined,
            imports,
            ..
        } = &self.modules[module];
        targets.extend(
            children
                .get(name)
                .into_iter()
                .flatten()
                .copied()
                .map(Target::Module),
        );
        if defined.contains(name) {
            targets.insert(Target::Item(*file));
        }
        for import in imports.iter().filter(|import| import.name == name) {
            targets.extend(self.resolve(module, &import.named.path, seen));
        }
        if targets.is_empty() {
            for import in imports.iter().filter(|import| import.name == "*") {
                let path = &import.named.path;
                for target in self.resolve(module, &path[..path.len() - 1], seen) {
                    if let Target::Module(other) = target {
                        targets.extend(self.lookup(other, name, seen));
                    }
                }
            }
        }
        seen.remove(&(module, name.to_owned()));
        targets
    }

    /// A module re-exports this name of another crate.
    fn foreign(&self, module: usize, name: &str) -> bool {
        self.modules[module]
            .imports
            .iter()
            .any(|import| import.name == name)
    }

    // --- circles

    /// The folder that a file counts to.
    fn folder(&self, file: usize) -> String {
        let path = &self.files[file];
        let (folder, name) = split(path);
        let own = path.strip_suffix(".rs").unwrap_or(path);
        let inside = format!("{own}/");
        if !matches!(name, "mod.rs" | "lib.rs" | "main.rs")
            && self.files.iter().any(|file| file.starts_with(&inside))
        {
            own.to_owned()
        } else {
            folder.to_owned()
        }
    }

    fn circles(&self) -> Vec<Vec<usize>> {
        self.circles_of(&self.arrows.keys().copied().collect())
    }

    /// The circles that break the rule, if these are the arrows: files that all reach one another.
    fn circles_of(&self, arrows: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
        let reach: Vec<BTreeSet<usize>> = (0..self.files.len())
            .map(|start| {
                let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
                while let Some(file) = next.pop() {
                    let to = arrows
                        .range((file, 0)..=(file, usize::MAX))
                        .map(|arrow| arrow.1);
                    next.extend(to.filter(|to| reached.insert(*to)).collect::<Vec<_>>());
                }
                reached
            })
            .collect();
        let mut circles = BTreeSet::new();
        for file in 0..self.files.len() {
            let circle: Vec<_> = reach[file]
                .iter()
                .copied()
                .filter(|other| reach[*other].contains(&file))
                .collect();
            let one_folder = circle
                .iter()
                .all(|other| self.folder(*other) == self.folder(file));
            if circle.len() > 2 || (circle.len() == 2 && !one_folder) {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    /// Few arrows without which a circle would be none, in the order of their files: those that run upwards when the files are put
    /// in the order in which the fewest do.
    fn too_many(&self, circle: &[usize]) -> Vec<(usize, usize)> {
        let inside: BTreeSet<(usize, usize)> = self
            .arrows
            .keys()
            .copied()
            .filter(|(from, to)| circle.contains(from) && circle.contains(to))
            .collect();
        let upwards = |order: &[usize]| -> Vec<(usize, usize)> {
            let floor = |file: usize| order.iter().position(|other| *other == file);
            inside
                .iter()
                .copied()
                .filter(|(from, to)| floor(*from) > floor(*to))
                .collect()
        };
        let mut best = upwards(circle);
        let mut order = circle.to_vec();
        let mut random = 1_usize;
        for _ in 0..20 {
            let mut cost = upwards(&order).len();
            let mut better = true;
            while better {
                better = false;
                for file in circle {
                    for floor in 0..order.len() {
                        let mut other = order.clone();
                        other.retain(|kept| kept != file);
                        other.insert(floor, *file);
                        let less = upwards(&other).len();
                        if less < cost {
                            (order, cost, better) = (other, less, true);
                        }
                    }
                }
            }
            if cost < best.len() {
                best = upwards(&order);
            }
            for left in (1..order.len()).rev() {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                order.swap(left, (random >> 33) % (left + 1));
            }
        }
        // Two files of one folder may know each other.
        let mut kept = inside;
        kept.retain(|arrow| !best.contains(arrow));
        best.retain(|arrow| {
            kept.insert(*arrow);
            let must = !self.circles_of(&kept).is_empty();
            if must {
                kept.remove(arrow);
            }
            must
        });
        best.sort_by_key(|(from, to)| (&self.files[*from], &self.files[*to]));
        best
    }

    fn report(&self, source: &str, circle: &[usize]) -> String {
        let mut files: Vec<_> = circle.iter().map(|file| &self.files[*file][..]).collect();
        files.sort_unstable();
        let arrows = self.too_many(circle);
        let mut report = format!(
            "{source}: {} files are one import circle: {}\n",
            files.len(),
            files.join(", ")
        );
        report += &format!(
            "  without {} it would be none:\n",
            count(arrows.len(), "arrow")
        );
        for (from, to) in arrows {
            for (line, words) in &self.arrows[&(from, to)] {
                let (from, to) = (&self.files[from], &self.files[to]);
                report += &format!("    {source}/{from}:{line}: {words} (of {to})\n");
            }
        }
        report
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// An attribute's inside leaves out what is no test.
fn only_tests(inside: &[Token]) -> bool {
    inside[0..1.min(inside.len())]
        .iter()
        .any(|token| token.is("cfg"))
        && inside.iter().any(|token| token.is("test"))
        && !inside
            .iter()
            .any(|token| token.is("not") || token.is("any"))
}

/// The index behind the item, field or statement that begins at `start`.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let list = !ITEMS.iter().any(|item| tokens[start].is(item));
    let import = tokens[start..]
        .iter()
        .take(6)
        .find(|token| token.is("use") || token.is("{"));
    let import = import.is_some_and(|token| token.is("use"));
    let mut index = start;
    while let Some(token) = tokens.get(index) {
        match &token.text[..] {
            _ if token.kind != Kind::Mark => {}
            ";" => return index + 1,
            "," if list => return index + 1,
            "{" if import => index = close(tokens, index),
            "{" => return close(tokens, index) + 1,
            "(" | "[" => index = close(tokens, index),
            _ => {}
        }
        index += 1;
    }
    index
}

/// The name that the item which begins here has.
fn defines(tokens: &[Token], index: usize) -> Option<String> {
    let keyword = &tokens[index];
    let skip = match &keyword.text[..] {
        "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" => 1,
        "static" if tokens.get(index + 1)?.is("mut") => 2,
        "static" => 1,
        "macro_rules" => 2,
        _ => return None,
    };
    let name = tokens
        .get(index + skip)
        .filter(|name| keyword.word() && name.word())?;
    (!name.is("fn")).then(|| name.text.clone())
}

/// A path without `..` and `.`.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Sources {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect()
    }

    /// The arrows of a program, as `a.rs > b.rs`.
    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let program = Program::new(&sources(files));
        let name = |file: usize| program.files[file].strip_suffix(".rs").unwrap().to_owned();
        let mut arrows: Vec<_> = program
            .arrows
            .keys()
            .map(|(from, to)| format!("{} > {}", name(*from), name(*to)))
            .collect();
        arrows.sort();
        arrows
    }

    /// The circles that break the rule.
    fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let program = Program::new(&sources(files));
        let names = |circle: Vec<usize>| {
            let mut names: Vec<_> = circle
                .into_iter()
                .map(|file| program.files[file].clone())
                .collect();
            names.sort();
            names
        };
        program.circles().into_iter().map(names).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn an_import_is_an_arrow_and_a_declaration_is_none() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(arrows(&files), ["a > b"]);
        assert!(circles(&files).is_empty());
    }

    #[test]
    fn braces_nest_and_names_may_be_others() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            (
                "a.rs",
                "use crate::{b::{self, B as Bee}, c::{C, d as _}, d::{r#type,},};",
            ),
            ("b.rs", "pub enum B {}"),
            ("c.rs", "pub trait C {} pub const fn d() {}"),
            ("d.rs", "pub fn r#type() {}"),
        ];
        assert_eq!(arrows(&files), ["a > b", "a > c", "a > d"]);
    }

    #[test]
    fn what_is_exported_again_is_of_the_file_that_defines_it() {
        let files = [
            ("lib.rs", "mod user; mod store; pub use store::Failure;"),
            (
                "user.rs",
                "use crate::store::Failure; use crate::Failure as Same;",
            ),
            ("store/mod.rs", "mod failure; mod all; pub use all::*;"),
            ("store/all.rs", "pub(crate) use super::failure::Failure;"),
            ("store/failure.rs", "pub struct Failure;"),
        ];
        let expected = [
            "lib > store/failure",
            "store/all > store/failure",
            "store/mod > store/all",
            "user > store/failure",
        ];
        assert_eq!(arrows(&files), expected);
    }

    #[test]
    fn super_and_self_are_followed() {
        let files = [
            ("lib.rs", "mod a; pub struct Root;"),
            ("a.rs", "mod b; mod c; pub struct A; use self::b::B;"),
            (
                "a/b.rs",
                "use super::super::Root; use super::c::C; pub struct B;",
            ),
            ("a/c.rs", "use super::A; pub struct C;"),
        ];
        assert_eq!(
            arrows(&files),
            ["a > a/b", "a/b > a/c", "a/b > lib", "a/c > a"]
        );
    }

    #[test]
    fn paths_in_code_are_arrows_too() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
            (
                "a.rs",
                "use crate::e; fn f() -> crate::b::B { super::c::c::<u8>(); self::g(); e::E::new() } fn g() {}",
            ),
            (
                "b.rs",
                "pub struct B; macro_rules! m { () => { $crate::d::D } }",
            ),
            ("c.rs", "pub fn c<T>() {}"),
            ("d.rs", "thread_local! { pub static D: u8 = const { 0 }; }"),
            ("e.rs", "pub struct E;"),
        ];
        assert_eq!(arrows(&files), ["a > b", "a > c", "a > e", "b > d"]);
    }

    #[test]
    fn a_module_that_is_imported_is_an_arrow_only_to_what_is_used_of_it() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; fn f() { b::deep(); }"),
            ("b.rs", "mod c; pub use c::deep; pub fn flat() {}"),
            ("b/c.rs", "pub fn deep() {}"),
        ];
        assert_eq!(arrows(&files), ["a > b/c", "b > b/c"]);
    }

    #[test]
    fn other_crates_are_no_arrows() {
        let files = [
            ("lib.rs", "mod redis; mod a; pub use ::redis as client;"),
            (
                "a.rs",
                "use redis::Cmd; use ::redis::X; use crate::client::Value; fn f() { redis::cmd(); ::redis::y(); }",
            ),
            ("redis.rs", "pub struct Cmd;"),
        ];
        assert_eq!(arrows(&files), NONE);
    }

    #[test]
    fn comments_texts_tests_and_visibility_are_no_arrows() {
        let code = r##"
            //! [`crate::b::B`]
            /* /* use crate::b::B; */ use crate::b::B; */
            const A: &str = "use crate::b::B;"; const R: &str = r#"" crate::b::B "#; const C: char = '"';
            fn life<'a>(x: &'a str) -> char { '\'' }
            pub(in crate::b) struct V;
            fn captured() -> impl Sized + use<> {}
            #[cfg(test)] use crate::b::{B, B as C};
            #[cfg(test)] pub(crate) fn only<T, U>() -> crate::b::B { crate::b::B }
            struct S { #[cfg(test)] field: crate::b::B, other: u8 }
            #[cfg(test)] mod tests { use crate::b::B; }
        "##;
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", code),
            ("b.rs", "pub struct B;"),
        ];
        assert_eq!(arrows(&files), NONE);
        let shown = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", &format!("{code} use crate::b::B;")),
            files[2],
        ];
        assert_eq!(arrows(&shown), ["a > b"]);
    }

    #[test]
    fn files_of_tests_are_left_out() {
        assert!(of_tests("a/tests.rs") && of_tests("tests/a.rs") && !of_tests("a/tests_too.rs"));
    }

    #[test]
    fn a_place_may_be_named_and_two_files_may_have_one_name() {
        let text = r#"
            #[cfg(feature = "x")] mod metrics;
            #[cfg(not(feature = "x"))] #[path = "b/none.rs"] mod metrics;
            pub use metrics::show;
        "#;
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::show;"),
            ("b.rs", text),
            ("b/metrics.rs", "pub fn show() {}"),
            ("b/none.rs", "pub fn show() {}"),
        ];
        assert_eq!(
            arrows(&files),
            ["a > b/metrics", "a > b/none", "b > b/metrics", "b > b/none"]
        );
    }

    #[test]
    fn modules_in_a_file_are_of_that_file() {
        let files = [
            ("lib.rs", "mod a; mod b { pub mod c; pub struct B; }"),
            (
                "a.rs",
                "use crate::b::{B, c::C}; mod inner { use super::super::b::B; }",
            ),
            ("b/c.rs", "use super::B; pub struct C;"),
        ];
        assert_eq!(arrows(&files), ["a > b/c", "a > lib", "b/c > lib"]);
    }

    #[test]
    fn what_a_macro_makes_is_of_the_module_that_is_named() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::Made;"),
            ("b.rs", "make!(Made);"),
        ];
        assert_eq!(arrows(&files), ["a > b"]);
    }

    #[test]
    fn importing_oneself_ends() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub use crate::b::*;"),
            ("b.rs", "pub use crate::a::*;"),
        ];
        assert_eq!(arrows(&files), ["a > b", "b > a"]);
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "use x::x; use y as y; use super::a::z;"),
        ];
        assert_eq!(arrows(&files), NONE);
    }

    #[test]
    fn two_of_one_folder_may_know_each_other() {
        let two = |a: &'static str, b: &'static str| {
            [
                ("lib.rs", "mod a; mod b; mod c { } mod d;"),
                (a, "use crate::b::B; pub struct A;"),
                (b, "use crate::a::A; pub struct B;"),
            ]
        };
        assert_eq!(circles(&two("a.rs", "b.rs")), Vec::<Vec<String>>::new());
        assert_eq!(circles(&two("a/mod.rs", "b.rs")), [["a/mod.rs", "b.rs"]]);
        assert_eq!(circles(&two("a.rs", "b/mod.rs")), [["a.rs", "b/mod.rs"]]);
    }

    #[test]
    fn a_file_counts_to_the_folder_of_its_name() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; use b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ];
        assert!(circles(&files).is_empty());
        let own = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; pub struct A; use b::B;"),
            ("a/b.rs", "pub struct B; mod c; use c::C; use super::A;"),
            ("a/b/c.rs", "pub struct C;"),
        ];
        assert_eq!(circles(&own), [["a.rs", "a/b.rs"]]);
    }

    #[test]
    fn three_of_one_folder_may_not() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::c::C; pub struct B;"),
            (
                "c.rs",
                "fn f() -> crate::a::A {}\npub struct C; use crate::d::D;",
            ),
            ("d.rs", "pub struct D;"),
        ];
        assert_eq!(circles(&files), [["a.rs", "b.rs", "c.rs"]]);
    }

    #[test]
    fn the_fewest_arrows_must_go() {
        let up = "use crate::a::A;\n\n\npub struct C; fn f() { crate::b::b(); }";
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::{b::B, c::C, d::D};\npub struct A;"),
            (
                "b.rs",
                "use crate::{c::C, d::D}; pub struct B; pub fn b() {}",
            ),
            ("c.rs", up),
            ("d.rs", "use crate::c::C;\npub struct D;"),
        ];
        let program = Program::new(&sources(&files));
        let circles = program.circles();
        assert_eq!(circles.len(), 1);
        let report = program.report("x/src", &circles[0]);
        assert!(
            report.contains("4 files are one import circle: a.rs, b.rs, c.rs, d.rs"),
            "{report}"
        );
        // Not the arrow from c to b nor the one from c to a alone is enough; that which goes between two may stay.
        assert!(
            report.contains("x/src/c.rs:1: use crate::a::A (of a.rs)"),
            "{report}"
        );
        assert!(
            report.contains("x/src/c.rs:4: crate::b::b (of b.rs)"),
            "{report}"
        );
        assert!(report.contains("without 2 arrows"), "{report}");
    }

    #[test]
    fn lines_are_counted_by_room() {
        let files = [
            ("a.rs", "1\n2\n"),
            ("a/b.rs", "1\n"),
            ("c/d.lua", "1\n2\n3"),
            ("lib.rs", ""),
        ];
        let rooms = rooms(&sources(&files));
        let rooms: Vec<_> = rooms
            .iter()
            .map(|(room, lines)| (&room[..], *lines))
            .collect();
        assert_eq!(rooms, [("a", 3), ("c", 3), ("lib", 0)]);
    }
}
