//! Writes random templates as functions with the attribute, and the same as calls of `format!`, which
//! gets every field that is more than a name by position. `TEMPLATES_SEED` chooses other ones.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const FUNCTIONS: usize = 300;

/// What a template may name, whether it is more than a name, and what specs its type takes.
const FIELDS: &[(&str, Type)] = &[
    ("tenant", Type::Text),
    ("id", Type::Integer),
    ("share", Type::Float),
    ("initial", Type::Text),
    ("LIMIT", Type::Integer),
    ("order.id", Type::Integer),
    ("order.region", Type::Text),
    ("order.customer.name", Type::Text),
    ("order.r#type", Type::Text),
    ("order.id()", Type::Text),
    ("order.customer().name", Type::Text),
    ("pair.0", Type::Integer),
    ("pair.1.0", Type::Float),
    ("pair.1.1", Type::Text),
];

const TEXTS: &[&str] = &[
    "a", ":", "é", "🔒", "{{", "}}", " ", "\\\\", "\\\"", "\\n", "$", "0", ".", "{{}}", "#",
];

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Text,
    Integer,
    Float,
}

fn main() {
    println!("cargo::rerun-if-env-changed=TEMPLATES_SEED");
    println!("cargo::rerun-if-changed=build.rs");
    let seed = env::var("TEMPLATES_SEED")
        .map_or(1, |seed| seed.parse().expect("TEMPLATES_SEED is a number"));
    let mut random = StdRng::seed_from_u64(seed);
    let mut source = String::new();
    for number in 0..FUNCTIONS {
        function(&mut source, &mut random, number);
    }
    source += "pub(super) async fn check_all() {\n";
    for number in 0..FUNCTIONS {
        let _ = writeln!(source, "check_{number}().await;");
    }
    source += "}\n";
    let place = PathBuf::from(env::var_os("OUT_DIR").expect("cargo gives it"));
    fs::write(place.join("templates.rs"), source).expect("written");
}

/// A function with a template, and one that compares what becomes of it.
fn function(source: &mut String, random: &mut StdRng, number: usize) {
    let (mut template, mut format, mut positional) = (String::new(), String::new(), String::new());
    for _ in 0..random.random_range(1..7) {
        if random.random_bool(0.5) {
            let text = pick(random, TEXTS);
            template += text;
            format += text;
            continue;
        }
        let (field, kind) = pick(random, FIELDS);
        let spec = spec(random, kind);
        let blank = if random.random_bool(0.1) { " " } else { "" };
        let _ = write!(template, "{{{field}{spec}{blank}}}");
        if field.contains('.') {
            let _ = write!(format, "{{{spec}}}");
            let _ = write!(positional, ", {field}");
        } else {
            let _ = write!(format, "{{{field}{spec}}}");
        }
    }
    if template.is_empty() {
        return function(source, random, number);
    }
    let arguments = "tenant: &str, id: u32, share: f64, initial: char, order: &Order, pair: (u8, (f32, &str)), wide: usize, digits: usize";
    let _ = write!(
        source,
        r#"
#[redis_locked(key = "{template}", bind = lease)]
async fn locked_{number}({arguments}) -> Result<String, LockError> {{
    let _ = (tenant, id, share, initial, order, pair, wide, digits);
    Ok(lease.key().to_owned())
}}

async fn check_{number}() {{
    let order = order();
    let (tenant, id, share, initial, pair, wide, digits) = values();
    let expected = format!("{format}"{positional});
    let _ = (tenant, id, share, initial, pair, wide, digits);
    let key = locked_{number}(tenant, id, share, initial, &order, pair, wide, digits).await;
    check({number}, key, &expected);
}}
"#
    );
}

fn spec(random: &mut StdRng, kind: Type) -> String {
    if random.random_bool(0.4) {
        return String::new();
    }
    let mut spec = ":".to_owned();
    if random.random_bool(0.5) {
        spec += pick(random, &["<", "^", ">", "*<", "->", "é^", "0>"]);
    }
    let is_number = kind != Type::Text;
    if is_number && random.random_bool(0.3) {
        spec += "+";
    }
    if is_number && random.random_bool(0.2) {
        spec += "#";
    }
    if is_number && random.random_bool(0.3) {
        spec += "0";
    }
    if random.random_bool(0.5) {
        spec += pick(random, &["3", "12", "wide$"]);
    }
    if kind != Type::Integer && random.random_bool(0.4) {
        spec += pick(random, &[".2", ".digits$"]);
    }
    spec += match kind {
        Type::Integer => pick(random, &["", "x", "X", "o", "b", "?", "e"]),
        Type::Float => pick(random, &["", "e", "?"]),
        Type::Text => pick(random, &["", "?"]),
    };
    spec
}

fn pick<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}
