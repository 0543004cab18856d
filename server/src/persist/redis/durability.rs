//! Whether what Redis acknowledges survives its crash. It says so itself, where we may ask.

use super::link::Link;
use std::collections::BTreeMap;

/// What an operator should know of this Redis.
pub(super) async fn warnings(link: &Link) -> Vec<String> {
    let mut settings = BTreeMap::new();
    for name in ["appendonly", "appendfsync", "save", "maxmemory-policy"] {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        match aside::<Vec<String>>(link, &command).await {
            Ok(pair) => settings.extend(pair.get(1).map(|value| (name, value.clone()))),
            Err(error) => {
                return vec![format!(
                    "its settings cannot be read ({error}): see to it that it keeps what it acknowledges \
                     (appendonly yes, appendfsync always)"
                )];
            }
        }
    }
    judge(&settings)
}

fn judge(settings: &BTreeMap<&str, String>) -> Vec<String> {
    let get = |name| settings.get(name).map_or("", String::as_str);
    let mut warnings = Vec::new();
    match (get("appendonly"), get("appendfsync"), get("save")) {
        ("yes", "always", _) => {}
        ("yes", "everysec", _) => warnings.push(
            "changes of the last second or two are lost if it crashes (appendfsync everysec); \
             with appendfsync always nothing is lost"
                .to_owned(),
        ),
        ("yes", _, _) => warnings.push(
            "changes that the system has not written yet are lost if the machine crashes (appendfsync no); \
             with appendfsync always nothing is lost"
                .to_owned(),
        ),
        (_, _, "") => warnings.push(
            "it keeps nothing on disk: EVERYTHING is lost when it stops; set appendonly yes and appendfsync always"
                .to_owned(),
        ),
        (_, _, save) => warnings.push(format!(
            "changes since its last snapshot are lost if it crashes (appendonly no, save {save:?}); \
             with appendonly yes and appendfsync always nothing is lost"
        )),
    }
    if get("maxmemory-policy").starts_with("allkeys") {
        warnings.push(format!(
            "it may throw records away when its memory is full (maxmemory-policy {}); set noeviction",
            get("maxmemory-policy")
        ));
    }
    warnings
}

/// Asks Redis to write its files anew, which leaves out what is no longer there.
pub(super) async fn rewrite(link: &Link) {
    for name in ["BGREWRITEAOF", "BGSAVE"] {
        if let Err(error) = aside::<redis::Value>(link, &redis::cmd(name)).await {
            tracing::warn!(
                "{}: {name}: {error}; its files may hold what was replaced",
                link.address
            );
        }
    }
}

/// A question whose failure means nothing for the link.
async fn aside<T: redis::FromRedisValue>(link: &Link, command: &redis::Cmd) -> Result<T, String> {
    let session = link.session().map_err(|error| error.to_string())?;
    let mut connection = session.connection();
    let answer = tokio::time::timeout(link.waits.answer, command.query_async(&mut connection)).await;
    match answer {
        Ok(answer) => answer.map_err(|error: redis::RedisError| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_redis_that_loses_nothing_is_not_warned_of() {
        let says = |appendonly: &str, appendfsync: &str, save: &str, policy: &str| {
            let settings = [
                ("appendonly", appendonly),
                ("appendfsync", appendfsync),
                ("save", save),
                ("maxmemory-policy", policy),
            ];
            judge(&settings.map(|(name, value)| (name, value.to_owned())).into()).join(" ")
        };
        assert_eq!(says("yes", "always", "", "noeviction"), "");
        assert_eq!(says("yes", "always", "3600 1", "volatile-lru"), "");
        assert!(says("yes", "everysec", "3600 1", "noeviction").contains("last second"));
        assert!(says("yes", "no", "", "noeviction").contains("appendfsync no"));
        assert!(says("no", "everysec", "3600 1", "noeviction").contains("last snapshot"));
        assert!(says("no", "everysec", "", "noeviction").contains("EVERYTHING"));
        assert!(says("yes", "always", "", "allkeys-lru").contains("throw records away"));
    }
}
