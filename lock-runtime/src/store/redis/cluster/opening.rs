//! How the connection to a cluster is opened, and why it could not be.

use std::sync::Arc;
#[cfg(feature = "tls")]
use std::sync::{Mutex, PoisonError};

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{Cmd, ErrorKind, ProtocolVersion, PushInfo, RedisResult};

use super::announced::{Seeds, problem};
#[cfg(feature = "tls")]
use crate::store::redis::certificates::are_the_same;
use crate::store::redis::settings::{Timeouts, track};

/// Called with what nodes push.
pub(super) type Heard = Arc<dyn Fn(PushInfo) -> Result<(), ()> + Send + Sync>;

pub(super) struct Opener {
    seeds: Seeds,
    timeouts: Timeouts,
    heard: Option<Heard>,
    /// Those with which redis-rs opens connections to nodes until it is made anew.
    #[cfg(feature = "tls")]
    in_use: Mutex<Option<redis::TlsCertificates>>,
}

impl Opener {
    pub(super) fn new(seeds: Seeds, timeouts: Timeouts, heard: Option<Heard>) -> Self {
        Self {
            seeds,
            timeouts,
            heard,
            #[cfg(feature = "tls")]
            in_use: Mutex::default(),
        }
    }

    pub(super) async fn open(&self) -> RedisResult<ClusterConnection> {
        // In the new form of the protocol a broken connection is noticed before the next command.
        let client = self.client(ProtocolVersion::RESP3, self.heard.clone())?;
        match self.connect(client).await {
            Ok(connection) => Ok(connection),
            Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => Err(error),
            // redis-rs only says that no node lets us in.
            Err(error) => match problem(&self.seeds, self.timeouts).await {
                Some(problem) => Err(problem),
                // A node lets us in that speaks the old form of the protocol.
                None if self.heard.is_some() => {
                    let problem = "in the old form of the protocol, nobody is told of changed keys";
                    let words = error.to_string();
                    Err((ErrorKind::RESP3NotSupported, problem, words).into())
                }
                None => {
                    let client = self.client(ProtocolVersion::RESP2, None)?;
                    self.connect(client).await
                }
            },
        }
    }

    /// Connects, and has a node answer: redis-rs is content when one of the seeds did, though the
    /// cluster announces others, and none of these can be reached.
    async fn connect(&self, client: ClusterClient) -> RedisResult<ClusterConnection> {
        let mut connection = client.get_async_connection().await?;
        let mut first = redis::pipe();
        // Where tracking is refused, it is refused here.
        first.add_command(if self.heard.is_some() {
            track()
        } else {
            Cmd::new().arg("PING").to_owned()
        });
        let answers = connection.route_pipeline(first, 0, 1, SingleNodeRoutingInfo::Random);
        for answer in answers.await? {
            answer.extract_error()?;
        }
        Ok(connection)
    }

    fn client(
        &self,
        protocol: ProtocolVersion,
        heard: Option<Heard>,
    ) -> RedisResult<ClusterClient> {
        let Seeds { nodes, access } = &self.seeds;
        let mut builder = ClusterClient::builder(nodes.clone());
        #[cfg(feature = "tls")]
        {
            let certificates = access.tls.certificates()?;
            self.in_use().clone_from(&certificates);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
        }
        if let Some(provider) = access.credentials.clone() {
            builder = builder.set_credentials_provider(provider);
        }
        if let Some(heard) = heard {
            builder = builder.push_sender(move |push| heard(push));
        }
        builder
            .retries(0)
            .use_protocol(protocol)
            .node_address_map(access.addresses.of_nodes())
            // It connects to the seeds, and then to those that are announced: a node that says nothing
            // costs this much twice.
            .connection_timeout(self.timeouts.connection / 2)
            .response_timeout(self.timeouts.response)
            .overall_response_timeout(Some(self.timeouts.total()))
            .tcp_settings(self.timeouts.tcp())
            .build()
    }

    /// Whether there are others than those in use. What can't be read is none.
    #[cfg(feature = "tls")]
    pub(super) fn has_new_certificates(&self) -> bool {
        let now = self.seeds.access.tls.certificates();
        now.is_ok_and(|now| !are_the_same(now.as_ref(), self.in_use().as_ref()))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(super) fn has_new_certificates(&self) -> bool {
        false
    }

    #[cfg(feature = "tls")]
    fn in_use(&self) -> std::sync::MutexGuard<'_, Option<redis::TlsCertificates>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
