//! What it costs to build a crate that uses redis-locked: crates are written to a directory of
//! their own and built there, with the dependencies in this workspace's versions.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Plan;
use crate::sample::{Pairs, median};
use crate::table::{Line, Target, Unit};

const BUILDS: usize = 3;
const CHECKS: usize = 9;
const FUNCTIONS: usize = 500;

pub(super) fn measure(plan: &Plan) -> Vec<Line> {
    let builds = plan.builds.then(|| Builds::new(plan));
    builds.map_or_else(Vec::new, |builds| {
        vec![builds.clean_release(), builds.annotated_functions()]
    })
}

struct Builds {
    directory: PathBuf,
    root: PathBuf,
    rounds: usize,
    checks: usize,
}

impl Builds {
    fn new(plan: &Plan) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let directory = std::env::temp_dir().join(format!("redis-locked-{}", std::process::id()));
        Self {
            directory,
            root: root.canonicalize().expect("the workspace"),
            rounds: plan.rounds(BUILDS),
            checks: plan.rounds(CHECKS),
        }
    }

    /// Seconds to build all of it for release.
    fn clean_release(&self) -> Line {
        let measured = "clean release build of a crate that uses it";
        let with = self.package("with", &self.dependencies(true), WITH);
        let without = self.package("without", &self.dependencies(false), WITHOUT);
        let mut pairs = Pairs::default();
        for _ in 0..self.rounds {
            let [with, without] = [&with, &without].map(|package| {
                let target = package.join("target");
                let _ = fs::remove_dir_all(&target);
                cargo(package, &["build", "--release", "--offline", "--quiet"])
            });
            pairs.push(with, without);
        }
        Line::ours(measured, pairs.ours(), Unit::Seconds)
            .beside("redis-rs + tokio", pairs.theirs(), pairs.ratio())
            .target(Target::RatioAtMost(1.10))
    }

    /// Milliseconds that `cargo check` takes longer for each function with the attribute.
    fn annotated_functions(&self) -> Line {
        let measured = "500 annotated functions, `cargo check`: each";
        let plain = functions("");
        let annotated = functions("#[redis_locked(key = \"report:{id}\", ttl = \"5s\")]\n");
        let plain = self.package("plain", &self.dependencies(true), &plain);
        let annotated = self.package("annotated", &self.dependencies(true), &annotated);
        for package in [&plain, &annotated] {
            cargo(package, &["check", "--offline", "--quiet"]);
        }
        let mut each = Vec::new();
        for _ in 0..self.checks {
            let [annotated, plain] = [&annotated, &plain].map(|package| {
                let source = package.join("src/main.rs");
                let text = fs::read(&source).expect("just written");
                fs::write(&source, text).expect("can be written");
                cargo(package, &["check", "--offline", "--quiet"])
            });
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            each.push((annotated - plain) * 1e3 / FUNCTIONS as f64);
        }
        Line::ours(measured, median(each), Unit::Millis).target(Target::AtMost(3.0))
    }

    fn package(&self, name: &str, dependencies: &str, main: &str) -> PathBuf {
        let package = self.directory.join(name);
        fs::create_dir_all(package.join("src")).expect("a directory for temporary files");
        let write = |path: &str, text: &str| fs::write(package.join(path), text).expect(path);
        let head = format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[workspace]\n");
        write("Cargo.toml", &(head + dependencies));
        write("src/main.rs", main);
        let lock = self.root.join("Cargo.lock");
        fs::copy(lock, package.join("Cargo.lock")).expect("the workspace's versions");
        package
    }

    /// The same features of redis-rs and tokio for both.
    fn dependencies(&self, with: bool) -> String {
        let mut dependencies = String::from(
            "\n[dependencies]\n\
             redis = { version = \"1.8\", default-features = false, features = \
             [\"connection-manager\", \"script\", \"tokio-comp\"] }\n\
             tokio = { version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }\n",
        );
        if with {
            let root = self.root.display();
            writeln!(dependencies, "redis-locked = {{ path = \"{root}\" }}").expect("text");
        }
        dependencies
    }
}

impl Drop for Builds {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Runs cargo there: how many seconds it took.
fn cargo(package: &Path, arguments: &[&str]) -> f64 {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let started = Instant::now();
    let output = Command::new(cargo)
        .current_dir(package)
        .args(arguments)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .stdin(Stdio::null())
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", package.display());
    started.elapsed().as_secs_f64()
}

const WITH: &str = r#"
use redis_locked::{LockError, Locker, redis_locked};

#[redis_locked(key = "report:{id}", ttl = "5s")]
async fn report(id: u64) -> Result<u64, LockError> {
    Ok(id)
}

#[tokio::main]
async fn main() -> Result<(), LockError> {
    let client = redis::Client::open("redis://127.0.0.1").expect("a valid url");
    Locker::from_client(client).install()?;
    println!("{}", report(7).await?);
    Ok(())
}
"#;

const WITHOUT: &str = r#"
use redis::{RedisResult, Script, Value, aio::ConnectionManager};

async fn report(redis: &mut ConnectionManager, id: u64) -> RedisResult<u64> {
    let key = format!("report:{id}");
    let mut set = redis::cmd("SET");
    set.arg(&key).arg("token").arg("NX").arg("PX").arg(5000);
    let _: Value = set.query_async(redis).await?;
    let release = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end";
    let release = Script::new(release);
    let _: Value = release.key(key).arg("token").invoke_async(redis).await?;
    Ok(id)
}

#[tokio::main]
async fn main() -> RedisResult<()> {
    let client = redis::Client::open("redis://127.0.0.1")?;
    let mut redis = ConnectionManager::new(client).await?;
    println!("{}", report(&mut redis, 7).await?);
    Ok(())
}
"#;

fn functions(attribute: &str) -> String {
    let mut text = String::from(
        "#![allow(unused_imports)]\n\
         use redis_locked::{LockError, redis_locked};\n\n\
         fn main() {}\n",
    );
    for number in 0..FUNCTIONS {
        let function = format!(
            "{attribute}\
             pub async fn report_{number}(id: u64, name: String) -> Result<String, LockError> {{\n\
                 let text = format!(\"{{id}} {{name}} {number}\");\n\
                 tokio::task::yield_now().await;\n\
                 Ok(text)\n\
             }}\n"
        );
        text += &function;
    }
    text
}
