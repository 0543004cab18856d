//! Coming from today's product: its Redis and its exports, read, reported, brought, and used.

use crate::{
    redis_server::{Folder, RedisServer},
    todays::{self, ARGON2, ARGON2I, BCRYPT, EXPIRED, TOKEN, Value0},
};
use serde_json::{Value, json};
use server::{
    auth::{Accounts, SignInError, password},
    persist::{
        Store,
        memory::Memory,
        records::{
            AclRecord, COLLECTIONS, CloudConfigRecord, GroupRecord, JobRecord, PluginRecord, PrivilegeRecord,
            ProxyRecord, RemoteRecord, ResourceSetRecord, ScheduleRecord, ServerRecord, TagRecord,
            TokenRecord, UserRecord,
        },
        redis::Address,
        secrets::Secrets,
    },
    transfer::{self, Export, Fate, Keys, Line, TransferError},
};
use std::{collections::BTreeMap, io::Write, sync::Arc};

struct Ours {
    store: Store,
    secrets: Secrets,
    _folder: Folder,
}

impl Ours {
    async fn new() -> Self {
        let folder = Folder::new();
        let secrets = Secrets::open(&folder.0.join("key")).expect("a key");
        Self {
            store: Store::open(Arc::new(Memory::default()), &secrets)
                .await
                .expect("opened"),
            secrets,
            _folder: folder,
        }
    }

    async fn import(&self, export: Export) -> Vec<Line> {
        let lines = transfer::import_config(&self.store, &self.secrets, export, false).await;
        lines.expect("imported")
    }

    async fn contents(&self) -> BTreeMap<(&'static str, String), Value> {
        let mut contents = BTreeMap::new();
        for collection in COLLECTIONS {
            for (id, mut record) in self.store.list_raw(collection).await.expect("listed") {
                self.secrets.unseal_members(&mut record).expect("our key");
                contents.insert((*collection, id), Value::Object(record));
            }
        }
        contents
    }

    fn unsealed(&self, sealed: &str) -> String {
        self.secrets.unseal(sealed).expect("our key")
    }
}

async fn from_redis(server: &RedisServer) -> Result<Export, TransferError> {
    let address = Address::new(&server.place()).expect("an address");
    transfer::read_redis(&address, None).await
}

fn fates(lines: &[Line]) -> BTreeMap<Fate, usize> {
    let mut fates = BTreeMap::new();
    for line in lines {
        *fates.entry(line.fate).or_default() += 1;
    }
    fates
}

fn says(lines: &[Line], fate: Fate, what: &str) -> String {
    let line = lines
        .iter()
        .find(|line| line.fate == fate && line.to_string().contains(what));
    line.unwrap_or_else(|| panic!("no {fate:?} {what} in {lines:#?}"))
        .to_string()
}

#[tokio::test]
async fn todays_redis_is_brought_and_its_users_sign_in() {
    let server = RedisServer::start().await;
    todays::fill(&server).await;
    let before: Vec<String> = server.ask(&["KEYS", "*"]).await;
    let ours = Ours::new().await;

    // A dry run tells all and changes nothing.
    let export = from_redis(&server).await.expect("read");
    let told = transfer::import_config(&ours.store, &ours.secrets, export.clone(), true)
        .await
        .expect("planned");
    assert!(ours.contents().await.is_empty());
    let lines = ours.import(export.clone()).await;
    assert_eq!(lines, told);
    for line in &lines {
        let line = line.to_string();
        for secret in [
            TOKEN,
            EXPIRED,
            "gehéim",
            "p4ss",
            "b1nd",
            "pr0xy-t0ken",
            "JBSWY3DPEHPK3PXP",
            "$argon2",
            "$2a$",
        ] {
            assert!(!line.contains(secret), "{line}");
        }
    }
    for what in [
        "its record is not there",
        "it is not JSON",
        "it has no name",
        "it has expired",
        "its user is not there",
        "who had it is not there",
        "no subject or no object",
        "not a host",
        "LevelDB",
    ] {
        says(&lines, Fate::LeftOut, what);
    }
    assert!(says(&lines, Fate::New, "broken").contains("neither argon2 nor bcrypt"));
    assert!(says(&lines, Fate::New, "writer").contains("\"write\" means nothing"));
    assert!(says(&lines, Fate::New, "ldap@example.net").contains("signs in through ldap"));
    assert!(says(&lines, Fate::New, "operators").contains("1 of its users are not there"));
    assert!(says(&lines, Fate::New, "g-ops may admin").contains("no role"));

    // People sign in as before, and weaker hashes are renewed when they do.
    let accounts = Accounts::open(ours.store.clone(), ours.secrets.clone(), 100)
        .await
        .expect("opened");
    for (name, id, (password, hash)) in [("bob", "u-bob", BCRYPT), ("writer", "u-writer", ARGON2I)] {
        let signed_in = accounts
            .sign_in_with_password(name, password, None, "::1")
            .await
            .expect("signed in");
        assert_eq!(signed_in.user_id, id);
        let kept: UserRecord = ours.store.get(id).await.expect("read").expect("there");
        let kept = kept.password_hash.expect("a hash");
        assert!(password::is_current(&kept), "{kept}");
        assert_eq!(kept == hash, password::is_current(hash), "{name}");
        accounts
            .sign_in_with_password(name, password, None, "::1")
            .await
            .expect("signed in again");
    }
    // With the second factor, as before.
    let (name, password) = ("root@example.net", ARGON2.0);
    let without = accounts.sign_in_with_password(name, password, None, "::1").await;
    assert!(matches!(without, Err(SignInError::OtpNeeded(_))));
    let code = one_time_password(b"Hello!\xde\xad\xbe\xef");
    let signed_in = accounts
        .sign_in_with_password(name, password, Some(&code), "::1")
        .await;
    assert_eq!(signed_in.expect("signed in").user_id, "u-root");
    let kept: UserRecord = ours.store.get("u-root").await.expect("read").expect("there");
    assert_eq!(
        kept.password_hash.as_deref(),
        Some(ARGON2.1),
        "a stronger hash stays"
    );
    let wrong = accounts
        .sign_in_with_password("bob", "password of yore", None, "::1")
        .await;
    assert!(matches!(wrong, Err(SignInError::InvalidCredentials)));
    let broken = accounts.sign_in_with_password("broken", "abc", None, "::1").await;
    assert!(matches!(broken, Err(SignInError::InvalidCredentials)));
    let signed_in = accounts
        .sign_in_with_token(TOKEN, "10.0.0.1")
        .await
        .expect("signed in");
    assert_eq!(signed_in.user_id, "u-bob");
    assert!(accounts.sign_in_with_token(EXPIRED, "10.0.0.1").await.is_err());

    let after: Vec<String> = server.ask(&["KEYS", "*"]).await;
    assert_eq!(before.len(), after.len(), "nothing is written there");
}

/// RFC 6238 with six digits and half minutes; the secret of the fixture is this in base 32.
fn one_time_password(secret: &[u8]) -> String {
    let step = (todays::now() / 30_000).to_be_bytes();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = ring::hmac::sign(&key, &step);
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[offset..offset + 4].try_into().expect("four bytes"));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

#[tokio::test]
async fn every_record_comes_whole_and_with_its_secrets_sealed() {
    let server = RedisServer::start().await;
    todays::fill(&server).await;
    let ours = Ours::new().await;
    ours.import(from_redis(&server).await.expect("read")).await;
    let store = &ours.store;

    let root: UserRecord = store.get("u-root").await.expect("read").expect("there");
    assert_eq!(root.groups, ["g-ops"]);
    assert_eq!(
        Value::Object(root.preferences),
        json!({ "lang": "fr", "sshKeys": [{ "key": "ssh-rsa" }] })
    );
    assert_eq!(
        ours.unsealed(&root.sealed_otp.expect("sealed")),
        "JBSWY3DPEHPK3PXP"
    );
    let bob: UserRecord = store.get("u-bob").await.expect("read").expect("there");
    assert_eq!((bob.email.as_str(), bob.permission.as_str()), ("Bob", "none"));
    let ldap: UserRecord = store.get("u-ldap").await.expect("read").expect("there");
    assert_eq!(ldap.auth_providers["ldap"]["id"], "cn=ldap");
    assert_eq!(
        (ldap.password_hash, ldap.groups),
        (None, vec!["g-ldap".to_owned()])
    );
    // Each side knew of one member.
    let operators: GroupRecord = store.get("g-ops").await.expect("read").expect("there");
    assert_eq!(operators.users, ["u-root", "u-bob"]);
    let of_ldap: GroupRecord = store.get("g-ldap").await.expect("read").expect("there");
    assert_eq!(
        (of_ldap.provider.as_deref(), of_ldap.provider_group_id.as_deref()),
        (Some("ldap"), Some("42"))
    );

    let tokens = store.list::<TokenRecord>().await.expect("listed");
    assert_eq!(tokens.len(), 1);
    let token = &tokens[0].1;
    assert_eq!(
        (
            token.client_id.as_deref(),
            token.description.as_deref(),
            token.last_uses["10.0.0.1"]
        ),
        (Some("c-1"), Some("a script"), 1_600_000_000_500)
    );
    assert_ne!(tokens[0].0, TOKEN);
    let mut rights: Vec<AclRecord> = store
        .list()
        .await
        .expect("listed")
        .into_iter()
        .map(|(_, right)| right)
        .collect();
    rights.sort();
    let right = |subject: &str, object: &str, action: &str| AclRecord {
        subject: subject.to_owned(),
        object: object.to_owned(),
        action: action.to_owned(),
    };
    assert_eq!(
        rights,
        [
            right("g-ops", "pool-1", "admin"),
            right("u-bob", "vm-1", "operator")
        ]
    );

    let lyon: ServerRecord = store.get("s-1").await.expect("read").expect("there");
    assert_eq!(ours.unsealed(&lyon.sealed_password), "gehéim");
    assert_eq!(
        ours.unsealed(lyon.sealed_http_proxy.as_ref().expect("one")),
        "http://u:p@proxy:3128"
    );
    assert_eq!(
        (lyon.allow_unauthorized, lyon.enabled, lyon.read_only),
        (true, true, false)
    );
    assert_eq!(
        lyon.pool_members_addresses.expect("some"),
        ["192.0.2.10", "192.0.2.11"]
    );
    let second: ServerRecord = store.get("s-2").await.expect("read").expect("there");
    assert_eq!(
        (second.allow_unauthorized, second.enabled, second.read_only),
        (false, false, true)
    );

    let remote: RemoteRecord = store.get("r-1").await.expect("read").expect("there");
    assert_eq!(
        ours.unsealed(remote.0["sealed_url"].as_str().expect("sealed")),
        "smb://u:p4ss@nas\\share"
    );
    assert_eq!(
        (&remote.0["enabled"], remote.0.get("url"), remote.0.get("error")),
        (&json!(true), None, None)
    );
    let plugin: PluginRecord = store.get("auth-ldap").await.expect("read").expect("there");
    assert_eq!(
        ours.unsealed(plugin.0["sealed_configuration"].as_str().expect("sealed")),
        "{\"bind\":{\"password\":\"b1nd\"}}"
    );
    assert_eq!(
        (&plugin.0["autoload"], plugin.0.get("configuration")),
        (&json!(true), None)
    );
    let proxy: ProxyRecord = store.get("p-1").await.expect("read").expect("there");
    assert_eq!(
        ours.unsealed(proxy.0["sealed_authentication_token"].as_str().expect("sealed")),
        "pr0xy-t0ken"
    );
    let job: JobRecord = store.get("j-1").await.expect("read").expect("there");
    assert_eq!(
        Value::Object(job.0),
        json!({ "type": "backup", "name": "true", "mode": "delta", "vms": { "id": "vm-1" },
                "settings": { "": { "retention": 3 } }, "userId": "u-root" })
    );
    let schedule: ScheduleRecord = store.get("sc-1").await.expect("read").expect("there");
    assert_eq!(
        (&schedule.0["jobId"], schedule.0.get("job")),
        (&json!("j-1"), None)
    );
    let tag: TagRecord = store.get("prod").await.expect("read").expect("there");
    assert_eq!(tag.color.as_deref(), Some("#00ff00"));
    let cloud: CloudConfigRecord = store.get("cc-1").await.expect("read").expect("there");
    assert_eq!(cloud.0["template"], "#cloud-config\npassword: {name}\n");
    let privilege: PrivilegeRecord = store.get("pr-1").await.expect("read").expect("there");
    assert_eq!(privilege.0["selector"], "tags:prod");

    // Nothing of it can be read in the store.
    for collection in COLLECTIONS {
        for (id, record) in store.list_raw(collection).await.expect("listed") {
            let text = format!("{id} {}", Value::Object(record));
            for secret in [
                TOKEN,
                "gehéim",
                "p4ss",
                "b1nd",
                "pr0xy-t0ken",
                "JBSWY3DPEHPK3PXP",
                "u:p@proxy",
            ] {
                assert!(!text.contains(secret), "{collection} {text}");
            }
        }
    }
}

#[tokio::test]
async fn an_export_brings_the_same_and_resource_sets_and_a_second_time_nothing() {
    let server = RedisServer::start().await;
    todays::fill(&server).await;
    let (one, other) = (Ours::new().await, Ours::new().await);
    one.import(from_redis(&server).await.expect("read")).await;

    let text = todays::export().to_string();
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    compressed.write_all(text.as_bytes()).expect("compressed");
    let compressed = compressed.finish().expect("compressed");
    let export = transfer::read(&compressed).expect("read");
    assert_eq!(export, transfer::read(text.as_bytes()).expect("read"));
    other.import(export.clone()).await;
    let sets: ResourceSetRecord = other.store.get("rs-1").await.expect("read").expect("there");
    assert_eq!(sets.0["limits"]["cpus"]["total"], 4);
    let mut contents = other.contents().await;
    contents.retain(|(collection, _), _| !["resource_sets", "ip_pools"].contains(collection));
    let mut expected = one.contents().await;
    for contents in [&mut contents, &mut expected] {
        for (_, record) in contents
            .iter_mut()
            .filter(|((collection, _), _)| *collection == "tokens")
        {
            // The two fixtures are not made in the same millisecond.
            record["expiration"] = 0.into();
        }
    }
    assert_eq!(contents, expected);

    let all = other.contents().await;
    let lines = other.import(export.clone()).await;
    let fates = fates(&lines);
    assert_eq!(
        fates.get(&Fate::New).or(fates.get(&Fate::Changed)),
        None,
        "{lines:#?}"
    );
    assert_eq!(fates[&Fate::Same], all.len());
    assert_eq!(other.contents().await, all);

    // What differs is told by name and brought; what came from elsewhere stays.
    let mut server: ServerRecord = other.store.get("s-1").await.expect("read").expect("there");
    server.fingerprint = Some("AA:BB".to_owned());
    server.label = Some("Marseille".to_owned());
    server.sealed_password = other.secrets.seal("another");
    other.store.put("s-1", &server).await.expect("kept");
    other
        .store
        .put("mine", &TagRecord::default())
        .await
        .expect("kept");
    let lines = other.import(export).await;
    let line = says(&lines, Fate::Changed, "192.0.2.10");
    assert!(line.contains("label, password"), "{line}");
    let server: ServerRecord = other.store.get("s-1").await.expect("read").expect("there");
    assert_eq!(
        (server.label.as_deref(), server.fingerprint.as_deref()),
        (Some("Lyon"), Some("AA:BB"))
    );
    assert!(
        other
            .store
            .get::<TagRecord>("mine")
            .await
            .expect("read")
            .is_some()
    );
}

#[tokio::test]
async fn who_has_the_same_name_makes_room_and_an_administrator_is_always_left() {
    let ours = Ours::new().await;
    let accounts = Accounts::open(ours.store.clone(), ours.secrets.clone(), 10)
        .await
        .expect("opened");
    let ann = accounts
        .create("Root@Example.net", "correct horse", "admin")
        .await
        .expect("made");
    let hers = server::auth::tokens::NewToken {
        user_id: ann.clone(),
        ..Default::default()
    };
    accounts.create_token(hers).await.expect("made");
    let group = GroupRecord {
        name: "ours".to_owned(),
        users: vec![ann.clone()],
        ..GroupRecord::default()
    };
    ours.store.put("g-ours", &group).await.expect("kept");
    let before = ours.contents().await;

    // One of the same name who is no administrator: nobody would be left.
    let plain = json!({ "users": [{ "id": "u", "email": "root@example.net", "permission": "none", "pw_hash": ARGON2.1 }] });
    let export = Export::from_json(plain).expect("an export");
    let error = transfer::import_config(&ours.store, &ours.secrets, export, false)
        .await
        .expect_err("refused");
    assert!(matches!(error, TransferError::NoAdministrator), "{error}");
    assert_eq!(ours.contents().await, before);

    let lines = ours
        .import(Export::from_json(todays::export()).expect("an export"))
        .await;
    says(&lines, Fate::Removed, "Root@Example.net");
    says(&lines, Fate::Removed, "a token of");
    assert!(ours.store.get::<UserRecord>(&ann).await.expect("read").is_none());
    let group: GroupRecord = ours.store.get("g-ours").await.expect("read").expect("there");
    assert!(group.users.is_empty());
    assert_eq!(ours.store.list::<TokenRecord>().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn what_is_too_long_does_not_come() {
    let ours = Ours::new().await;
    let users = json!([
        { "id": "u-1", "email": "root@example.net", "permission": "admin", "pw_hash": ARGON2.1,
          "preferences": { "filters": "x".repeat(300 << 10) } },
        { "id": "u-2", "email": "two\nlines", "permission": "none" },
        { "id": "u-3", "email": "x".repeat(300), "permission": "none" },
    ]);
    let groups =
        json!([{ "id": "g-1", "name": " ", "users": [] }, { "id": "g-2", "name": "team", "users": ["u-1"] }]);
    let export = Export::from_json(json!({ "users": users, "groups": groups })).expect("an export");
    let lines = ours.import(export).await;
    assert_eq!(
        fates(&lines),
        BTreeMap::from([(Fate::New, 2), (Fate::LeftOut, 3)]),
        "{lines:?}"
    );
    assert!(says(&lines, Fate::LeftOut, "two").contains("visible characters"));
    assert!(says(&lines, Fate::New, "root@example.net").contains("preferences"));
    let user: UserRecord = ours.store.get("u-1").await.expect("read").expect("there");
    assert!(user.preferences.is_empty());

    // A file of a few kilobytes that would become a large one.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..=transfer::LONGEST >> 20 {
        encoder.write_all(&spaces).expect("compressed");
    }
    let error = transfer::read(&encoder.finish().expect("compressed")).expect_err("too large");
    assert!(error.to_string().contains("too large"), "{error}");
}

#[tokio::test]
async fn ours_is_exported_as_todays_and_comes_back() {
    let (one, other) = (Ours::new().await, Ours::new().await);
    one.import(Export::from_json(todays::export()).expect("an export"))
        .await;
    let export = transfer::export_config(&one.store, &one.secrets, None)
        .await
        .expect("exported");
    assert_eq!(export["authTokens"], json!([]), "their secrets are not known");
    let of = |entry: &str, id: &str| {
        let records = export[entry].as_array().expect("a list").iter();
        records
            .clone()
            .find(|record| record["id"] == id)
            .expect("there")
            .clone()
    };
    assert_eq!(of("users", "u-root")["preferences"]["otp"], "JBSWY3DPEHPK3PXP");
    assert_eq!(of("users", "u-bob")["pw_hash"], BCRYPT.1);
    assert_eq!(of("xenServers", "s-1")["password"], "gehéim");
    assert_eq!(
        of("plugins", "auth-ldap")["configuration"],
        json!({ "bind": { "password": "b1nd" } })
    );
    assert_eq!(of("remotes", "r-1")["url"], "smb://u:p4ss@nas\\share");
    other
        .import(Export::from_json(Value::Object(export)).expect("an export"))
        .await;
    let without_tokens = |mut contents: BTreeMap<(&'static str, String), Value>| {
        contents.retain(|(collection, _), _| *collection != "tokens");
        contents
    };
    assert_eq!(
        without_tokens(other.contents().await),
        without_tokens(one.contents().await)
    );

    let chosen = ["schedules".to_owned()];
    let export = transfer::export_config(&one.store, &one.secrets, Some(&chosen))
        .await
        .expect("exported");
    let names: Vec<&String> = export.keys().collect();
    assert_eq!(names, ["jobs", "schedules", "users"], "and what they refer to");
    let error = transfer::export_config(&one.store, &one.secrets, Some(&["x".to_owned()])).await;
    assert!(matches!(error, Err(TransferError::UnknownEntry(_))));
}

/// Encrypted by Node's `crypto` as contract/storage.md section 4 says: HKDF-SHA256, AES-256-GCM.
const ENCRYPTED_USER: &str = "enc:KHguaCw4aoS842lsbfBDKte9nrYzK8vRqON5ORfPCsCHBhMh5xenFsbcXZ+FaFRZh1BRtiKLKnWqA6XaWMvTLWf9oWMUNJTx8Je/tjhq7UiUOxynvfLM+SmPfmslOBgwrE6UynPwYp9nFBFHSw1dV78Jx2OnmJPOSk1XZNEskuIHYLXnn7p7JLisvbLBq4Yig6PCnMys9hM=";
const ENCRYPTED_SERVER: &str = "enc:3EsT4TxoaZhhJYkFtJvP/HBGM2ouymVC+ncSf6jxpz7vC0GBqO9hcZE4KjeIXXVME7yYe5MkNLlZuIX1avjP3xcdyCjDo03Hk6z4KS3cxSvzXKuVea2867M0H9ilDiJScuIk3z2sfA==";
const HALVES: [&str; 2] = [
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
];

#[tokio::test]
async fn encrypted_records_need_both_halves_of_their_key() {
    let server = RedisServer::start().await;
    for (namespace, id, text) in [("user", "u", ENCRYPTED_USER), ("server", "s", ENCRYPTED_SERVER)] {
        let _: Value0 = server.ask(&["SADD", &format!("xo:{namespace}_ids"), id]).await;
        let _: Value0 = server.ask(&["SET", &format!("xo:{namespace}:{id}"), text]).await;
    }
    let address = Address::new(&server.place()).expect("an address");
    let [first, second] = HALVES;
    let error = transfer::read_redis(&address, None).await.expect_err("no key");
    assert!(matches!(error, TransferError::KeyMissing), "{error}");
    let swapped = Keys::read(&format!("{second}\n{first}\n")).expect("a key");
    let error = transfer::read_redis(&address, Some(&swapped))
        .await
        .expect_err("the wrong key");
    assert!(matches!(error, TransferError::WrongKey(_)), "{error}");
    for damaged in [
        "",
        first,
        &format!("{first}\n{}", &second[1..]),
        &format!("{first}\n{}", second.replace('f', "g")),
    ] {
        assert!(matches!(Keys::read(damaged), Err(TransferError::InvalidKey(_))));
    }
    let keys = Keys::read(&format!("{first}\n{second}\n")).expect("a key");
    let ours = Ours::new().await;
    ours.import(transfer::read_redis(&address, Some(&keys)).await.expect("read"))
        .await;
    let accounts = Accounts::open(ours.store.clone(), ours.secrets.clone(), 10)
        .await
        .expect("opened");
    accounts
        .sign_in_with_password("secret@example.net", BCRYPT.0, None, "::1")
        .await
        .expect("signed in");
    let pool: ServerRecord = ours.store.get("s").await.expect("read").expect("there");
    assert_eq!(ours.unsealed(&pool.sealed_password), "gehéim");
}

#[tokio::test]
async fn what_is_nothing_of_todays_is_refused() {
    let server = RedisServer::start().await;
    let error = from_redis(&server).await.expect_err("nothing is there");
    assert!(matches!(error, TransferError::NothingThere(_)), "{error}");
    todays::fill(&server).await;
    let _: Value0 = server.ask(&["SET", "xo:user:version", "20300101"]).await;
    let error = from_redis(&server).await.expect_err("another layout");
    assert!(error.to_string().contains("20300101"), "{error}");

    for (bytes, what) in [
        (&b""[..], "no configuration"),
        (b"[]", "not a JSON object"),
        (b"{}", "none of its parts"),
        (b"{\"format\":\"xo-store\"}", "none of its parts"),
        (b"{\"users\":{}}", "users is not a list"),
        (b"{\"users\":[\"s3cret\"]}", "a text"),
        (b"\x1f\x8b\x08damaged", "no configuration"),
        (b"-----BEGIN PGP MESSAGE-----\n", "gpg --decrypt"),
        // As GnuPG and OpenPGP.js begin.
        (b"\x8c\x0d\x04\x09\x03\x02", "gpg --decrypt"),
        (b"\xc3\x0d\x04\x09\x03\x08", "gpg --decrypt"),
    ] {
        let error = transfer::read(bytes).expect_err("refused").to_string();
        assert!(error.contains(what) && !error.contains("s3cret"), "{error}");
    }
    let ours = Ours::new().await;
    let steering = json!({ "tags": [{ "id": "\u{1b}[2Jprod", "color": "red" }] });
    let lines = ours.import(Export::from_json(steering).expect("an export")).await;
    assert!(
        !lines[0].to_string().contains('\u{1b}'),
        "a name does not steer the terminal"
    );
    let export = transfer::read(b"{\"users\":[],\"novelties\":[]}").expect("read");
    assert!(export.notes[0].contains("novelties"));
}
