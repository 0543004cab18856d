//! The control port: a small HTTP service beside the pools that switches faults and shows what the pools hold.
//! `GET /` explains the rest.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::http::{self, Request, Response};
use crate::pool::SimPool;
use crate::trouble::{OF_A_HOST, TROUBLES};

/// A control port that serves until it is dropped.
pub struct Control {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Control {
    /// Whoever reaches the address can do anything with the pools: it belongs on a loopback address.
    pub async fn start(listen: SocketAddr, pools: Vec<SimPool>) -> anyhow::Result<Control> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let pools = Arc::new(pools);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, pools.clone()));
            }
        });
        Ok(Control { address, serving })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One request per connection.
async fn serve(mut stream: TcpStream, pools: Arc<Vec<SimPool>>) {
    let response = match http::read(&mut stream, &mut Vec::new(), None, None).await {
        Ok(Some(request)) => answer(&request, &pools).await,
        Ok(None) => return,
        Err(response) => response,
    };
    // A client that went away does not need its answer.
    let _ = stream.write_all(&response.to_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn answer(request: &Request, pools: &[SimPool]) -> Response {
    let pool = match request.parameter("pool").map(str::parse::<usize>) {
        None => None,
        Some(Ok(number)) if number < pools.len() => Some(number),
        Some(_) => return Response::error(404, "there is no such pool"),
    };
    let path = request.path.trim_end_matches('/');
    match (request.method.as_str(), path) {
        ("GET", "") => Response::new("text/plain; charset=utf-8", help(pools)),
        ("GET", "/pools") => json_response(&described(pools)),
        ("GET", "/dump") => json_response(&pools[pool.unwrap_or_default()].dump()),
        ("POST", _) if path.starts_with("/fault") => {
            // In the path, or in the body as `curl -d` sends it.
            let named = path.trim_start_matches("/fault").trim_start_matches('/');
            let body = String::from_utf8_lossy(&request.body);
            let named = if named.is_empty() { body.trim() } else { named };
            let (name, argument) = named.split_once('=').unwrap_or((named, ""));
            for (at, target) in pools.iter().enumerate() {
                if pool.is_none_or(|wanted| wanted == at)
                    && let Err(error) = target.trouble(name, argument).await
                {
                    return Response::error(400, &format!("{error:#}"));
                }
            }
            json_response(&described(pools))
        }
        _ => Response::error(404, "GET / says what there is"),
    }
}

fn json_response(json: &serde_json::Value) -> Response {
    Response::new("application/json", format!("{json}\n"))
}

/// The pools as JSON: where their hosts are, who is master, what is switched on, how often they were asked.
fn described(pools: &[SimPool]) -> serde_json::Value {
    let described = pools.iter().map(|pool| {
        let members = pool.members().into_iter().map(|member| {
            json!({
                "host": &*member.host,
                "address": member.address.map(|address| address.to_string()),
                "master": member.is_master,
                "up": member.is_up,
                "fingerprint_sha256": member.fingerprint_sha256,
            })
        });
        // One fault can be on several times: of the pool, of hosts, of records.
        let mut faults: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, argument) in pool.active_troubles() {
            faults.entry(name).or_default().push(argument);
        }
        let faults = faults.into_iter().map(|(name, all)| (name, all.join(",")));
        json!({
            "name": pool.config().name,
            "url": pool.url(),
            "hosts": members.collect::<Vec<_>>(),
            "faults": faults.collect::<BTreeMap<_, _>>(),
            "connections": pool.connections(),
        })
    });
    described.collect()
}

fn help(pools: &[SimPool]) -> String {
    let mut out = String::from(
        "Control port of xapi-sim\n\n\
         GET  /                     this page\n\
         GET  /pools                addresses, masters and active faults, as JSON\n\
         GET  /dump?pool=N          all records of a pool, as --load takes them\n\
         POST /fault/NAME=VALUE     switches a fault for all pools; ?pool=N for one (0 is the first)\n\nPools\n",
    );
    // Writing to a String cannot fail.
    for (at, pool) in pools.iter().enumerate() {
        let active = pool.active_troubles().into_iter();
        let active: Vec<_> = active.map(|(name, value)| format!("{name}={value}")).collect();
        let _ = writeln!(
            out,
            "  {at} {} {} {}",
            pool.config().name,
            pool.url(),
            active.join(" ")
        );
    }
    out.push_str("\nFaults\n");
    out.push_str(&explained());
    out
}

/// All faults with what they do, for the help texts.
pub fn explained() -> String {
    let mut out = String::new();
    for trouble in TROUBLES {
        let usage = match trouble.argument {
            "" => trouble.name.to_owned(),
            argument => format!("{}={argument}", trouble.name),
        };
        let _ = writeln!(out, "  {usage:<28} {}", trouble.explanation);
    }
    let _ = writeln!(
        out,
        "With @HOST behind the value (latency=300@1) for one host alone: {}.",
        OF_A_HOST.join(", ")
    );
    out
}
