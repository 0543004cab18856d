//! Virtual machines and disks in and out over HTTP.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xapi_sim::{PoolConfig, SimPool, Value};

use crate::client::{Client, DEADLINE, pool, pool_with, vm_in};

/// One request on a connection of its own: head and body of the answer, which ends with the connection.
pub async fn exchange(pool: &SimPool, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(pool.addr()).await.expect("connects");
    let mut answer = Vec::new();
    let all = async {
        stream.write_all(head.as_bytes()).await?;
        // Refused before all of it was read, perhaps.
        let _ = stream.write_all(body).await;
        stream.read_to_end(&mut answer).await
    };
    let read = tokio::time::timeout(DEADLINE, all)
        .await
        .expect("an answer in time");
    if let Err(error) = read {
        assert!(!answer.is_empty(), "{head}: {error}");
    }
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).expect("text"), body)
}

pub async fn get(pool: &SimPool, session: &str, path: &str) -> (String, Vec<u8>) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: sim\r\nCookie: session_id={session}\r\n\r\n");
    exchange(pool, &head, &[]).await
}

async fn put(pool: &SimPool, session: &str, path: &str, body: &[u8]) -> (String, Vec<u8>) {
    let length = body.len();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: sim\r\nCookie: session_id={session}\r\nContent-Length: {length}\r\n\r\n"
    );
    exchange(pool, &head, body).await
}

fn task_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("task-id: "));
    line.unwrap_or_else(|| panic!("no task in {head}")).to_owned()
}

/// The task as it is when it has ended.
async fn ended(client: &mut Client, task: &str) -> Json {
    tokio::time::timeout(DEADLINE, async {
        loop {
            let record = client.ok("task.get_record", json!([task])).await;
            if record["status"] != "pending" {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the task ends")
}

/// A disk of that size in a shared repository.
async fn disk(pool: &SimPool, client: &mut Client, size: u64) -> String {
    let sr = pool.read(|db| {
        let pool = db.pool();
        db.text("pool", &pool, "default_SR")
    });
    let record = json!({ "name_label": "disk", "name_description": "", "SR": sr, "virtual_size": size,
        "type": "user", "sharable": false, "read_only": false, "other_config": {} });
    let vdi = client.ok("VDI.create", json!([record])).await;
    vdi.as_str().expect("a reference").to_owned()
}

fn pattern(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) ^ seed) as u8)
        .collect()
}

#[tokio::test]
async fn a_disk_comes_out_as_it_went_in_raw_and_as_vhd() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let size = 10 << 20;
    let (first, second) = (
        disk(&pool, &mut client, size).await,
        disk(&pool, &mut client, size).await,
    );
    // Something at the start, much nothing, something that no block begins with.
    let mut bytes = pattern(300_000, 1);
    bytes.resize(5_000_001, 0);
    bytes.extend(pattern(1000, 2));
    let session = client.session.clone();
    let (head, _) = put(&pool, &session, &format!("/import_raw_vdi?vdi={first}"), &bytes).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let task = ended(&mut client, &task_of(&head)).await;
    assert_eq!(
        (&task["status"], &task["result"]),
        (&json!("success"), &json!(format!("<value>{first}</value>")))
    );
    bytes.resize(size as usize, 0);
    let uuid = client.ok("VDI.get_uuid", json!([first])).await;
    let path = format!("/export_raw_vdi?vdi={}", uuid.as_str().expect("text"));
    let (head, read) = get(&pool, &session, &path).await;
    assert!(head.contains(&format!("Content-Length: {size}")), "{head}");
    assert!(read == bytes, "what was written is read");
    let (head, vhd) = get(&pool, &session, &format!("{path}&format=vhd")).await;
    assert!(head.contains("application/vhd"), "{head}");
    // Of five blocks two hold something.
    assert_eq!(vhd.len(), 512 + 1024 + 512 + 2 * (512 + (2 << 20)) + 512);
    let (head, _) = put(
        &pool,
        &session,
        &format!("/import_raw_vdi?vdi={second}&format=vhd"),
        &vhd,
    )
    .await;
    assert_eq!(ended(&mut client, &task_of(&head)).await["status"], "success");
    let (_, copied) = get(&pool, &session, &format!("/export_raw_vdi?vdi={second}")).await;
    assert!(copied == bytes, "VHD holds the same");
    // A snapshot keeps what it saw.
    let snapshot = client.ok("VDI.snapshot", json!([first])).await;
    put(
        &pool,
        &session,
        &format!("/import_raw_vdi?vdi={first}"),
        &[7; 100],
    )
    .await;
    let snapshot = snapshot.as_str().expect("a reference");
    let (_, kept) = get(&pool, &session, &format!("/export_raw_vdi?vdi={snapshot}")).await;
    assert!(kept == bytes, "the snapshot is as it was");
    client.ok("VDI.revert", json!([snapshot])).await;
    let (_, back) = get(&pool, &session, &format!("/export_raw_vdi?vdi={first}")).await;
    assert!(back == bytes, "the disk is as it was");
    // Into another disk, if it is large enough.
    let (small, large) = (
        disk(&pool, &mut client, 2 << 20).await,
        disk(&pool, &mut client, 20 << 20).await,
    );
    let none = "OpaqueRef:NULL";
    assert_eq!(
        client.fault("VDI.copy", json!([first, none, none, small])).await,
        ["VDI_TOO_SMALL", &small, &size.to_string()]
    );
    client.ok("VDI.copy", json!([first, none, none, large])).await;
    let (_, copied) = get(&pool, &session, &format!("/export_raw_vdi?vdi={large}")).await;
    assert!(copied[..bytes.len()] == bytes[..], "the copy holds the same");
}

#[tokio::test]
async fn pieces_in_any_order_and_a_disk_made_for_what_comes() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vdi = disk(&pool, &mut client, 4 << 20).await;
    let mut body = Vec::new();
    for (at, text) in [(3_000_000_u64, &b"later"[..]), (0, b"first")] {
        body.extend_from_slice(&at.to_le_bytes());
        body.extend_from_slice(&(text.len() as u32).to_le_bytes());
        body.extend_from_slice(text);
    }
    body.extend_from_slice(&[0; 12]);
    let session = client.session.clone();
    let (head, _) = put(
        &pool,
        &session,
        &format!("/import_raw_vdi?vdi={vdi}&chunked=true"),
        &body,
    )
    .await;
    assert_eq!(ended(&mut client, &task_of(&head)).await["status"], "success");
    let (_, read) = get(&pool, &session, &format!("/export_raw_vdi?vdi={vdi}")).await;
    assert_eq!(
        (&read[..5], &read[3_000_000..3_000_005], read[5]),
        (&b"first"[..], &b"later"[..], 0)
    );
    let sr = client.ok("VDI.get_SR", json!([vdi])).await;
    let path = format!("/import_raw_vdi?sr_id={}", sr.as_str().expect("a reference"));
    let (head, _) = put(&pool, &session, &path, &[5; 1_000_000]).await;
    let task = ended(&mut client, &task_of(&head)).await;
    let made = task["result"]
        .as_str()
        .expect("text")
        .replace("<value>", "")
        .replace("</value>", "");
    assert_eq!(client.ok("VDI.get_virtual_size", json!([made])).await, 1_000_000);
    assert_eq!(
        client.ok("VDI.get_name_label", json!([made])).await,
        "Imported VDI"
    );
}

#[tokio::test]
async fn errors_are_told_by_status_and_by_task() {
    let pool = pool_with(PoolConfig {
        users: vec![xapi_sim::User {
            name: "ann".to_owned(),
            password: "secret".to_owned(),
            role: "read-only".to_owned(),
        }],
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let vdi = disk(&pool, &mut client, 2 << 20).await;
    let session = client.session.clone();
    let status = async |session: &str, path: &str| -> String {
        let (head, _) = get(&pool, session, path).await;
        head[9..12].to_owned()
    };
    assert_eq!(
        status("OpaqueRef:x", &format!("/export_raw_vdi?vdi={vdi}")).await,
        "401"
    );
    assert_eq!(status(&session, "/export_raw_vdi?vdi=nothing").await, "404");
    assert_eq!(
        status(&session, &format!("/export_raw_vdi?vdi={vdi}&format=qed")).await,
        "404"
    );
    assert_eq!(status(&session, "/export_raw_vdi").await, "400");
    let ann = client
        .rpc("session.login_with_password", json!(["ann", "secret"]))
        .await
        .expect("logs in");
    let task = client.ok("task.create", json!(["mine", ""])).await;
    let path = format!(
        "/export_raw_vdi?vdi={vdi}&task_id={}",
        task.as_str().expect("a reference")
    );
    assert_eq!(status(ann.as_str().expect("a session"), &path).await, "403");
    let record = ended(&mut client, task.as_str().expect("a reference")).await;
    assert_eq!(record["error_info"][0], "RBAC_PERMISSION_DENIED");
    assert_eq!(record["error_info"][1], "http/get_export_raw_vdi");
    // HTTP's own login; more than the disk holds.
    let head = format!(
        "PUT /import_raw_vdi?vdi={vdi} HTTP/1.1\r\nAuthorization: Basic cm9vdDpwYXNzd29yZA==\r\nContent-Length: 2097153\r\n\r\n"
    );
    let sessions = pool.read(|db| db.count("session"));
    let (head, _) = exchange(&pool, &head, &vec![1; 2_097_153]).await;
    let record = ended(&mut client, &task_of(&head)).await;
    assert_eq!(record["error_info"][0], "SR_BACKEND_FAILURE_200");
    assert_eq!(pool.read(|db| db.count("session")), sessions);
    // Part of it, then nothing more.
    let head = format!(
        "PUT /import_raw_vdi?vdi={vdi} HTTP/1.1\r\nCookie: session_id={session}\r\nContent-Length: 1000\r\n\r\n"
    );
    let mut stream = TcpStream::connect(pool.addr()).await.expect("connects");
    stream
        .write_all(&[head.as_bytes(), b"half"].concat())
        .await
        .expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let record = ended(&mut client, &task_of(&answer)).await;
    assert_eq!(record["error_info"], json!(["IMPORT_ERROR_PREMATURE_EOF"]));
}

/// A halted guest with two written disks.
async fn guest(pool: &SimPool, client: &mut Client) -> (String, Vec<(String, Vec<u8>)>) {
    let vm = vm_in(pool, "Halted");
    let vbds = pool.read(|db| db.members("VM", &vm, "VBDs"));
    pool.write(|db| {
        for vbd in vbds {
            db.destroy("VBD", &vbd);
        }
    });
    let mut disks = Vec::new();
    for (at, size) in [(0, 4_u64 << 20), (1, 8 << 20)] {
        let vdi = disk(pool, client, size).await;
        let device = at.to_string();
        let record = json!({ "VM": vm, "VDI": vdi, "userdevice": device, "bootable": at == 0, "mode": "RW",
            "type": "Disk", "unpluggable": true, "empty": false, "other_config": { "owner": "" },
            "qos_algorithm_type": "", "qos_algorithm_params": {} });
        client.ok("VBD.create", json!([record])).await;
        let mut bytes = pattern(100_000 + at as usize, at);
        bytes.resize(size as usize, 0);
        bytes[2_500_000..2_500_010].fill(at as u8 + 1);
        let session = client.session.clone();
        put(pool, &session, &format!("/import_raw_vdi?vdi={vdi}"), &bytes).await;
        disks.push((device, bytes));
    }
    (vm, disks)
}

#[tokio::test]
async fn an_exported_machine_is_imported_as_it_was() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let (vm, disks) = guest(&pool, &mut client).await;
    let session = client.session.clone();
    let (head, xva) = get(&pool, &session, &format!("/export?ref={vm}")).await;
    assert!(
        head.contains("application/octet-stream") && head.contains("export.xva"),
        "{head}"
    );
    assert_eq!(ended(&mut client, &task_of(&head)).await["status"], "success");
    assert_eq!(
        client.ok("VM.get_current_operations", json!([vm])).await,
        json!({})
    );
    // Zeros in the middle are not in the file.
    assert!(
        xva.starts_with(b"ova.xml\0") && xva.len() < 8 << 20,
        "{}",
        xva.len()
    );
    let other = pool_with(PoolConfig {
        seed: 9,
        ..PoolConfig::default()
    })
    .await;
    let mut there = Client::login(&other).await;
    let (head, _) = put(&other, &there.session.clone(), "/import", &xva).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let task = ended(&mut there, &task_of(&head)).await;
    assert_eq!(task["error_info"], json!([]));
    let made = task["result"]
        .as_str()
        .expect("text")
        .split("OpaqueRef:")
        .nth(1)
        .expect("a VM")[..36]
        .to_owned();
    let made = format!("OpaqueRef:{made}");
    let (old, new) = (
        client.ok("VM.get_record", json!([vm])).await,
        there.ok("VM.get_record", json!([made])).await,
    );
    for field in [
        "name_label",
        "name_description",
        "memory_static_max",
        "VCPUs_max",
        "platform",
        "HVM_boot_params",
        "tags",
    ] {
        assert_eq!(old[field], new[field], "{field}");
    }
    assert_ne!(old["uuid"], new["uuid"]);
    assert_eq!(
        (&new["power_state"], &new["allowed_operations"]),
        (&json!("Halted"), &old["allowed_operations"])
    );
    let macs = |pool: &SimPool, vm: &str| {
        pool.read(|db| {
            let vifs = db.members("VM", vm, "VIFs").into_iter();
            vifs.map(|vif| (db.text("VIF", &vif, "device"), db.text("VIF", &vif, "MAC")))
                .collect::<Vec<_>>()
        })
    };
    let (before, after) = (macs(&pool, &vm), macs(&other, &made));
    assert_eq!(before.len(), after.len());
    assert!(
        before
            .iter()
            .all(|(_, mac)| after.iter().all(|(_, new)| new != mac))
    );
    for (device, bytes) in &disks {
        let vdi = other.read(|db| {
            let mut vbds = db.members("VM", &made, "VBDs").into_iter();
            let vbd = vbds
                .find(|vbd| db.text("VBD", vbd, "userdevice") == *device)
                .expect("a disk");
            db.text("VBD", &vbd, "VDI")
        });
        let (_, read) = get(
            &other,
            &there.session.clone(),
            &format!("/export_raw_vdi?vdi={vdi}"),
        )
        .await;
        assert!(read == *bytes, "disk {device}");
    }
    assert!(
        other
            .read(|db| xapi_sim::consistency::contradictions(db, true))
            .is_empty()
    );
    // Restored at home it is the same machine, and takes the place of the old one.
    let (head, _) = put(&pool, &session, "/import?restore=true", &xva).await;
    assert_eq!(ended(&mut client, &task_of(&head)).await["error_info"], json!([]));
    assert!(!pool.read(|db| db.exists("VM", &vm)));
    let restored = client.ok("VM.get_by_uuid", json!([old["uuid"]])).await;
    let restored = restored.as_str().expect("a reference");
    assert_eq!(macs(&pool, restored), before);
    client.ok("VM.start", json!([restored, false, false])).await;
    assert_eq!(
        client.ok("VM.get_power_state", json!([restored])).await,
        "Running"
    );
    let (head, _) = get(&pool, &session, &format!("/export?ref={restored}")).await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
}

#[tokio::test]
async fn a_damaged_file_leaves_nothing_behind() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let (vm, _) = guest(&pool, &mut client).await;
    let session = client.session.clone();
    let (_, xva) = get(&pool, &session, &format!("/export?ref={vm}")).await;
    let count = || pool.read(|db| ["VM", "VBD", "VDI", "VIF"].map(|class| db.count(class)));
    let before = count();
    // Where the files of the disks begin.
    let is_header =
        |at: &usize| xva[*at..].starts_with(b"Ref:") && xva.get(at + 257..at + 262) == Some(b"ustar");
    let pieces: Vec<usize> = (0..xva.len()).step_by(512).filter(is_header).collect();
    assert!(pieces.len() >= 8, "{pieces:?}");
    let mut damaged = xva.clone();
    damaged[pieces[0] + 512 + 77] ^= 0xff;
    let mut cases = vec![(damaged, "IMPORT_ERROR_SOME_CHECKSUMS_FAILED")];
    cases.push((xva[..pieces[2] + 600].to_vec(), "IMPORT_ERROR_PREMATURE_EOF"));
    cases.push((xva[..pieces[0]].to_vec(), "IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND"));
    cases.push((xva[pieces[0]..].to_vec(), "IMPORT_ERROR_UNEXPECTED_FILE"));
    cases.push((b"no tar at all".repeat(100), "IMPORT_ERROR"));
    for (body, code) in cases {
        let (head, _) = put(&pool, &session, "/import", &body).await;
        let task = ended(&mut client, &task_of(&head)).await;
        assert_eq!(task["error_info"][0], code, "{task}");
        assert_eq!(count(), before, "{code}");
    }
    let chunked =
        format!("PUT /import HTTP/1.1\r\nCookie: session_id={session}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (head, _) = exchange(&pool, &chunked, b"").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    pool.write(|db| {
        let pool = db.pool();
        db.set("pool", &pool, "default_SR", Value::null())
    });
    let (head, _) = put(&pool, &session, "/import", &xva).await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
}

#[tokio::test]
async fn a_host_gets_a_machine_from_an_address() {
    let (from, to) = (pool().await, pool().await);
    let (mut source, mut client) = (Client::login(&from).await, Client::login(&to).await);
    let vm = vm_in(&from, "Halted");
    // Small ones, for all of them is read below.
    from.write(|db| {
        for vbd in db.members("VM", &vm, "VBDs") {
            let vdi = db.text("VBD", &vbd, "VDI");
            db.set("VDI", &vdi, "virtual_size", 2 << 20);
        }
    });
    let url = format!("{}/export?ref={vm}&session_id={}", from.url(), source.session);
    let sr = to.read(|db| db.text("pool", &db.pool(), "default_SR"));
    let import = |url: &str, sr: &str| json!([url, sr, false, false]);
    assert_eq!(
        client.fault("VM.import", import("ftp://x/y", &sr)).await,
        ["INVALID_VALUE", "url", "ftp://x/y"]
    );
    assert_eq!(
        client.fault("VM.import", import(&url, "x")).await,
        ["HANDLE_INVALID", "SR", "x"]
    );
    let missing = format!("{}/nothing", from.url());
    let fault = client.fault("VM.import", import(&missing, &sr)).await;
    assert_eq!(fault, ["IMPORT_ERROR", &format!("{missing}: status 404")]);
    let made = client.ok("VM.import", import(&url, &sr)).await;
    let made = made[0].as_str().expect("a reference");
    let name = source.ok("VM.get_name_label", json!([vm])).await;
    assert_eq!(client.ok("VM.get_name_label", json!([made])).await, name);
    let first = |pool: &SimPool, vm: &str| {
        pool.read(|db| {
            let vbds = db.members("VM", vm, "VBDs").into_iter();
            let mut disks = vbds.filter(|vbd| db.text("VBD", vbd, "type") == "Disk");
            let vbd = disks.next().expect("a disk");
            db.text("VBD", &vbd, "VDI")
        })
    };
    let start = async |pool: &SimPool, session: &str, vdi: &str| {
        let path = format!("/export_raw_vdi?vdi={vdi}");
        get(pool, session, &path).await.1[..512].to_vec()
    };
    let theirs = start(&from, &source.session, &first(&from, &vm)).await;
    assert_eq!(start(&to, &client.session, &first(&to, made)).await, theirs);
    assert!(theirs.starts_with(b"Simulated disk"));
}

#[tokio::test]
async fn what_differs_from_a_snapshot_comes_out_alone() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let session = client.session.clone();
    let size = 6 << 20;
    let vdi = disk(&pool, &mut client, size).await;
    let bytes = pattern(size as usize, 3);
    put(&pool, &session, &format!("/import_raw_vdi?vdi={vdi}"), &bytes).await;
    let snapshot = client.ok("VDI.snapshot", json!([vdi])).await;
    let snapshot = snapshot.as_str().expect("a reference").to_owned();
    // One sector of the second block is other now, and one of the third is empty.
    let mut changed = bytes.clone();
    let (second, third) = ((2 << 20) + 512 * 5, (4 << 20) + 512 * 9);
    changed[second..second + 512].fill(0xaa);
    changed[third..third + 512].fill(0);
    put(&pool, &session, &format!("/import_raw_vdi?vdi={vdi}"), &changed).await;
    let path = format!("/export_raw_vdi?vdi={vdi}&format=vhd&base={snapshot}");
    let (head, vhd) = get(&pool, &session, &path).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(vhd.len(), 512 + 1024 + 512 + 2 * (512 + (2 << 20)) + 512);
    assert_eq!(vhd[63], 4, "a differencing image");
    let uuid = client.ok("VDI.get_uuid", json!([snapshot])).await;
    let parent: String = vhd[512 + 40..512 + 56]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(parent, uuid.as_str().expect("text").replace('-', ""));
    // Of the blocks one bit each is set.
    let first_block = 512 + 1024 + 512;
    let bits: u32 = vhd[first_block..first_block + 512]
        .iter()
        .map(|byte| byte.count_ones())
        .sum();
    assert_eq!((bits, vhd[first_block]), (1, 0x80 >> 5));
    // On top of a copy of the base it makes the disk again.
    let copy = client.ok("VDI.clone", json!([snapshot])).await;
    let copy = copy.as_str().expect("a reference");
    let (head, _) = put(
        &pool,
        &session,
        &format!("/import_raw_vdi?vdi={copy}&format=vhd"),
        &vhd,
    )
    .await;
    assert_eq!(ended(&mut client, &task_of(&head)).await["status"], "success");
    let (_, made) = get(&pool, &session, &format!("/export_raw_vdi?vdi={copy}")).await;
    assert!(made == changed, "base and difference are the disk");
    // Nothing differs from itself.
    let (_, none) = get(
        &pool,
        &session,
        &format!("/export_raw_vdi?vdi={vdi}&format=vhd&base={vdi}"),
    )
    .await;
    assert_eq!(none.len(), 512 + 1024 + 512 + 512);
    let (head, _) = get(
        &pool,
        &session,
        &format!("/export_raw_vdi?vdi={vdi}&format=vhd&base=x"),
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[tokio::test]
async fn packed_files_come_out_and_go_in() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let session = client.session.clone();
    let vm = vm_in(&pool, "Halted");
    pool.write(|db| {
        for vbd in db.members("VM", &vm, "VBDs") {
            let vdi = db.text("VBD", &vbd, "VDI");
            db.set("VDI", &vdi, "virtual_size", 3 << 20);
        }
    });
    let path = format!("/export?ref={vm}");
    let (_, plain) = get(&pool, &session, &path).await;
    for (name, magic) in [
        ("true", &[0x1f, 0x8b][..]),
        ("gzip", &[0x1f, 0x8b]),
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
    ] {
        let (_, packed) = get(&pool, &session, &format!("{path}&use_compression={name}")).await;
        assert!(packed.starts_with(magic), "{name}");
        if name != "zstd" {
            let mut read = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&packed[..]);
            std::io::Read::read_to_end(&mut decoder, &mut read).expect("gzip");
            assert_eq!(read.len(), plain.len());
        }
        let (head, _) = put(&pool, &session, "/import", &packed).await;
        let task = ended(&mut client, &task_of(&head)).await;
        assert_eq!(task["status"], "success", "{name}: {}", task["error_info"]);
        // One that ends early, and one that is spoilt.
        let (head, _) = put(&pool, &session, "/import", &packed[..packed.len() / 2]).await;
        let task = ended(&mut client, &task_of(&head)).await;
        assert_eq!(
            task["error_info"],
            json!(["IMPORT_ERROR_PREMATURE_EOF"]),
            "{name}"
        );
        let mut spoilt = packed.clone();
        spoilt[40..80].fill(0xff);
        let (head, _) = put(&pool, &session, "/import", &spoilt).await;
        let task = ended(&mut client, &task_of(&head)).await;
        assert_eq!(task["status"], "failure", "{name}");
    }
    pool.read(|db| {
        assert_eq!(
            xapi_sim::consistency::contradictions(db, true),
            Vec::<String>::new()
        );
    });
}
