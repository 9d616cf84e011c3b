//! A real `redis-server` of the test's own.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use crate::certificates::{Authority, Files};
use crate::control::{self, Control};
use crate::directory::Directory;
use crate::lock::lock;
use crate::moving_clock::MovingClock;
use crate::port::Port;
use crate::signal;

/// How long a server may take to start on a machine that runs too many tests at once.
const START_LIMIT: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// A server on a free port of 127.0.0.1, in a directory of its own, killed when dropped.
///
/// The binary is `$REDIS_SERVER`, by default `redis-server` on the path.
pub struct Server {
    pub(crate) control: Arc<Control>,
    settings: Builder,
    client: redis::Client,
    child: Mutex<Child>,
    port: Port,
    directory: Directory,
}

/// What to start a server with.
#[derive(Clone, Default)]
pub struct Builder {
    password: Option<String>,
    tls: Option<Arc<Tls>>,
    arguments: Vec<(String, String)>,
    environment: Vec<(&'static str, OsString)>,
    sentinel: Option<String>,
    bus: Option<Arc<Port>>,
}

const TLS_FILES: [(&str, &str); 3] = [
    ("tls-ca-cert-file", "ca"),
    ("tls-cert-file", "cert"),
    ("tls-key-file", "key"),
];

/// A second port, with TLS.
struct Tls {
    port: Port,
    files: Files,
}

impl Builder {
    /// Has the server listen with TLS as well, at [`Server::tls_port`], with a certificate for these
    /// names by this authority, by which the certificates of clients have to be, too.
    #[must_use]
    pub fn tls(mut self, authority: &Authority, names: &[&str]) -> Self {
        let (port, files) = (Port::claim(), authority.files(names));
        self = self.arg("tls-port", &port.number().to_string());
        for (name, file) in TLS_FILES {
            self = self.arg(name, &files.path(file).to_string_lossy());
        }
        self.tls = Some(Arc::new(Tls { port, files }));
        self
    }

    /// Makes it a node of a cluster, whose other port nobody else can have: by default, Redis adds
    /// 10000 to the first, which may be anybody's.
    #[must_use]
    pub fn cluster_node(mut self) -> Self {
        let bus = Port::claim();
        self = self
            .arg("cluster-enabled", "yes")
            .arg("cluster-port", &bus.number().to_string());
        self.bus = Some(Arc::new(bus));
        self
    }

    /// Has the server ask for this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Adds a setting, as in `redis.conf` (`name` without the dashes).
    #[must_use]
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.arguments.push((name.to_owned(), value.to_string()));
        self
    }

    /// Has the server go by this clock.
    #[must_use]
    pub fn clock(mut self, clock: &MovingClock) -> Self {
        self.environment = clock.environment();
        self
    }

    /// Makes it a sentinel with this configuration, which it writes to.
    #[must_use]
    pub(crate) fn sentinel(mut self, config: &str) -> Self {
        self.sentinel = Some(config.to_owned());
        self
    }

    /// Starts the server and returns when it answers.
    ///
    /// # Panics
    /// If there is no such binary or it does not start; the message has its log.
    pub async fn start(self) -> Server {
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            match Server::start_on(Port::claim(), self.clone()).await {
                Ok(server) => return server,
                Err(log) => refusal = log,
            }
            assert!(
                is_about_the_port(&refusal),
                "{} did not start:\n{refusal}",
                binary().display()
            );
        }
        panic!("no free port in {ATTEMPTS} attempts:\n{refusal}");
    }
}

impl Server {
    /// Starts a server without a password.
    ///
    /// # Panics
    /// Like [`Builder::start`].
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// What to start a server with.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start_on(port: Port, settings: Builder) -> Result<Self, String> {
        let directory = Directory::new();
        let url = url(settings.password.as_deref(), port.number());
        let client = redis::Client::open(url).expect("a valid url");
        let child = spawn(&settings, port.number(), &directory, &[]);
        let server = Self {
            control: Arc::new(Control::new(&client)),
            settings,
            client,
            child: Mutex::new(child),
            port,
            directory,
        };
        server.wait_until_it_answers().await.map(|()| server)
    }

    async fn wait_until_it_answers(&self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if !self.is_running() {
                return Err(self.log());
            }
            if let Ok(info) = self
                .control
                .query::<redis::InfoDict>(redis::cmd("INFO").arg("server"))
                .await
            {
                // Another server may have taken the port just before ours.
                if info.get::<u32>("process_id") == Some(self.pid()) {
                    return Ok(());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("no answer in {START_LIMIT:?}\n{}", self.log()))
    }

    /// The url of the server, with the password if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.password(), self.port())
    }

    /// The url of the server with this password, right or wrong.
    #[must_use]
    pub fn url_with_password(&self, password: &str) -> String {
        url(Some(password), self.port())
    }

    /// The url of the server without a password.
    #[must_use]
    pub fn url_without_password(&self) -> String {
        url(None, self.port())
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.settings.password.as_deref()
    }

    /// The port of 127.0.0.1 that it listens on, the same for ever.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port with TLS.
    ///
    /// # Panics
    /// If it has none: see [`Builder::tls`].
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.port_with_tls().expect("a server with TLS")
    }

    /// Has it go on with a certificate by this authority, and let in its clients only. Connections that
    /// are open stay.
    ///
    /// # Panics
    /// If it has no TLS.
    pub async fn renew_certificates(&self, authority: &Authority, names: &[&str]) {
        let tls = self.settings.tls.as_ref().expect("a server with TLS");
        authority.renew(&tls.files, names);
        let mut config = redis::cmd("CONFIG");
        config.arg("SET");
        for (name, file) in TLS_FILES {
            config
                .arg(name)
                .arg(&*tls.files.path(file).to_string_lossy());
        }
        self.ask::<()>(&config).await;
    }

    pub(crate) fn port_with_tls(&self) -> Option<u16> {
        Some(self.settings.tls.as_ref()?.port.number())
    }

    /// The id of the server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// A redis-rs client for [`Server::url`].
    #[must_use]
    pub fn client(&self) -> redis::Client {
        self.client.clone()
    }

    /// A new connection of the test's own, with generous time limits.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn connection(&self) -> MultiplexedConnection {
        control::connect(&self.client)
            .await
            .unwrap_or_else(|error| panic!("connect to port {}: {error}", self.port()))
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Whether its process is alive.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// Kills the server with SIGKILL; connecting is refused from now on.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Kills the server if it runs, and starts it again on the same port without any data.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&self) {
        self.kill();
        let _ = fs::remove_file(self.directory.path().join("dump.rdb"));
        self.start_again(&[]).await;
    }

    pub(crate) async fn start_again(&self, more: &[(&str, &str)]) {
        let start = Instant::now();
        loop {
            self.kill();
            self.control.forget_sent();
            let child = spawn(&self.settings, self.port(), &self.directory, more);
            *self.child() = child;
            let Err(refusal) = self.wait_until_it_answers().await else {
                return;
            };
            assert!(
                is_about_the_port(&refusal) && start.elapsed() < START_LIMIT,
                "the server did not start again:\n{refusal}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops the process (SIGSTOP): it accepts connections and answers nothing.
    pub fn stop_process(&self) {
        signal::stop(&self.child());
    }

    /// Continues the process after [`Server::stop_process`].
    pub fn continue_process(&self) {
        signal::resume(&self.child());
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        lock(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn binary() -> PathBuf {
    std::env::var_os("REDIS_SERVER")
        .unwrap_or_else(|| OsString::from("redis-server"))
        .into()
}

fn spawn(settings: &Builder, port: u16, directory: &Directory, more: &[(&str, &str)]) -> Child {
    let log = File::create(directory.path().join("log")).expect("create the log");
    let mut command = Command::new(binary());
    command
        .current_dir(directory.path())
        .envs(settings.environment.clone())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("share the log"))
        .stderr(log);
    if let Some(config) = &settings.sentinel {
        let path = directory.path().join("sentinel.conf");
        fs::write(&path, config).expect("write the configuration");
        command.arg(path).arg("--sentinel");
    }
    let mut set = |name: &str, value: &str| {
        command.arg(format!("--{name}")).arg(value);
    };
    set("port", &port.to_string());
    set("bind", "127.0.0.1");
    set("save", "");
    set("appendonly", "no");
    set("loglevel", "warning");
    set("enable-debug-command", "yes");
    if let Some(password) = &settings.password {
        set("requirepass", password);
    }
    for (name, value) in &settings.arguments {
        set(name, value);
    }
    for (name, value) in more {
        set(name, value);
    }
    command.spawn().unwrap_or_else(|error| {
        panic!(
            "cannot run {}: {error}. Install redis-server (apt install redis-server, brew install \
             redis) or set REDIS_SERVER to its path",
            binary().display()
        )
    })
}

fn is_about_the_port(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("Failed listening")
}

fn url(password: Option<&str>, port: u16) -> String {
    let password = password.map_or_else(String::new, |password| format!(":{}@", escaped(password)));
    format!("redis://{password}127.0.0.1:{port}")
}

fn escaped(password: &str) -> String {
    use std::fmt::Write;
    password.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}
