//! Who we are to the servers, where that changes: asked whenever a connection is opened.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::{RedisConnectionInfo, RedisError, RedisResult};

/// A user's name and password, as [`LockerBuilder::credentials`](crate::LockerBuilder::credentials)
/// takes them.
#[derive(Clone)]
pub struct Credentials {
    username: Option<String>,
    password: String,
}

impl Credentials {
    /// A user of Redis' access control lists, with its password or token.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            username: Some(username.into()),
            ..Self::password(password)
        }
    }

    /// A password alone, where Redis has `requirepass` and no users.
    pub fn password(password: impl Into<String>) -> Self {
        Self {
            username: None,
            password: password.into(),
        }
    }

    /// The same settings, with these credentials.
    pub(super) fn applied_to(&self, settings: &RedisConnectionInfo) -> RedisConnectionInfo {
        // Settings can't be rid of a user's name, and this is the one of a password alone.
        let username = self.username.as_deref().unwrap_or("default");
        let settings = settings.clone();
        match (&self.username, settings.username()) {
            (None, None) => settings.set_password(&self.password),
            _ => settings.set_username(username).set_password(&self.password),
        }
    }
}

/// Shows no password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

type AnyError = Box<dyn Error + Send + Sync>;

type Asking = BoxFuture<'static, Result<Credentials, AnyError>>;

/// What gives the credentials of this moment.
#[derive(Clone)]
pub(crate) struct Provider(Arc<dyn Fn() -> Asking + Send + Sync>);

impl Provider {
    pub(crate) fn new<F, A, E>(provider: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<AnyError>,
    {
        Self(Arc::new(move || {
            let asking = provider();
            Box::pin(async move { asking.await.map_err(Into::into) })
        }))
    }

    pub(super) async fn ask(&self) -> RedisResult<Credentials> {
        (self.0)()
            .await
            .map_err(|source| NoCredentials(source.into()).into())
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

/// Why the provider gave none.
#[derive(Debug)]
pub(super) struct NoCredentials(pub(super) Arc<dyn Error + Send + Sync>);

impl NoCredentials {
    pub(super) const ADVICE: &'static str =
        "look at what the locker's `credentials` asks; it is called again at the next connect";

    /// For want of time.
    pub(super) fn late() -> RedisError {
        let late: AnyError = "they did not come within the connection timeout".into();
        Self(late.into()).into()
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the credentials for Redis could not be had")
    }
}

impl Error for NoCredentials {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl From<NoCredentials> for RedisError {
    fn from(error: NoCredentials) -> Self {
        io::Error::other(error).into()
    }
}

/// redis-rs opens the connections to a cluster's nodes by itself.
///
/// It subscribes twice for each: for the first it waits, and what comes on the second it says once
/// more, which does no harm. The second has to stay open.
#[cfg(feature = "cluster")]
impl redis::StreamingCredentialsProvider for Provider {
    fn subscribe(
        &self,
    ) -> std::pin::Pin<
        Box<dyn futures_util::Stream<Item = RedisResult<redis::BasicAuth>> + Send + 'static>,
    > {
        use futures_util::StreamExt as _;
        use futures_util::stream::{once, pending};
        let provider = self.clone();
        let asking = async move {
            let Credentials { username, password } = provider.ask().await?;
            let username = username.unwrap_or_else(|| "default".to_owned());
            Ok(redis::BasicAuth::new(username, password))
        };
        Box::pin(once(asking).chain(pending()))
    }
}
