//! A host that freezes in the middle of a listing is given up long before the listing could be complete.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};
use xapi::{CallError, Client, Endpoint, tls::Trust, watch::Watch};

/// The method of the next request on this connection.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
    body["method"].as_str().map(str::to_owned)
}

/// Lets everybody in, begins to list, and says nothing more until the client has gone.
fn freeze(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(method) = request(&mut reader) {
        if method == "event.from" {
            let begun = r#"{"jsonrpc":"2.0","id":1,"result":{"events":["#;
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{begun}"
            )?;
            reader.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        let body = r#"{"jsonrpc":"2.0","id":1,"result":"OpaqueRef:s"}"#;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn a_listing_that_stops_arriving_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || freeze(stream));
        }
    });
    let client = Client::new(Endpoint {
        url,
        user: "root".to_owned(),
        password: "password".to_owned(),
        trust: Trust::Authorities,
        proxy: None,
        originator: "test".to_owned(),
    })
    .expect("a client");
    client
        .login(Duration::from_secs(10))
        .await
        .expect("it lets us in");
    let mut watch = Watch::new(Duration::from_secs(5));
    // It was two minutes.
    let polled = tokio::time::timeout(Duration::from_secs(30), watch.poll(&client)).await;
    let error = polled
        .expect("it is given up in time")
        .expect_err("it did not end");
    assert!(matches!(error, CallError::Timeout(_)), "{error}");
}
