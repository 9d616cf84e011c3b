//! The master that sentinels watch.

use std::collections::HashMap;

use futures_util::future::join_all;
use redis::{Client, RedisConnectionInfo, RedisResult};

use super::{Login, Servers, moved};
use crate::exit::Failure;

/// Asks all sentinels, and takes the word of the one that saw the last failover.
pub(super) async fn master(
    servers: &Servers,
    name: &str,
    login: Option<&Login>,
) -> Result<Client, Failure> {
    let asking = servers
        .clients
        .iter()
        .map(|sentinel| ask(servers, sentinel, name, login));
    let mut newest: Option<(u64, Client)> = None;
    let mut failure = None;
    for answer in join_all(asking).await {
        match answer {
            Ok((epoch, client)) if newest.as_ref().is_none_or(|(known, _)| epoch > *known) => {
                newest = Some((epoch, client));
            }
            Ok(_) => {}
            Err(failed) => failure = Some(failed),
        }
    }
    match (newest, failure) {
        (Some((_, client)), _) => Ok(client),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::usage("it needs the URLs of the sentinels")),
    }
}

async fn ask(
    servers: &Servers,
    sentinel: &Client,
    name: &str,
    login: Option<&Login>,
) -> Result<(u64, Client), Failure> {
    // What the URL says of user, password and database is meant for the servers.
    let servers_info = sentinel.get_connection_info().clone();
    let mut settings = RedisConnectionInfo::default();
    if let Some(Login { user, password }) = login {
        settings = settings.set_password(password);
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
    }
    let to_sentinel = servers_info.clone().set_redis_settings(settings);
    let at = servers_info.addr().to_string();
    let open = |info| -> Result<Client, Failure> {
        let opened: RedisResult<Client> = Client::open(info);
        opened.map_err(|error| Failure::redis(&at, &error))
    };
    let mut node = servers.node(&open(to_sentinel)?).await?;
    let question = |what: &str| redis::cmd("SENTINEL").arg(what).arg(name).clone();
    let fields: HashMap<String, String> = node.ask(&question("MASTER")).await?;
    // Unlike the fields, this names the new master while a failover comes to its end.
    let (host, port): (String, u16) = node.ask(&question("GET-MASTER-ADDR-BY-NAME")).await?;
    let epoch = fields.get("config-epoch");
    let epoch = epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok((epoch, open(moved(&servers_info, &host, port))?))
}
