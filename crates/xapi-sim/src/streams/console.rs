//! `CONNECT /console`, or a WebSocket there: a VNC server (RFB 3.8, no password) with a made-up screen: a text console's background and a
//! bar that grows with every key and moves with the pointer.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Broken, Exchange, Flow};
use crate::fault::Fault;
use crate::rpc::rbac;
use crate::value::Value;

const WIDTH: u16 = 640;
const HEIGHT: u16 = 400;
/// Longest text that a client may put on the clipboard.
const MAX_TEXT: usize = 1 << 20;

pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(exchange: &mut Exchange<'_, S>) -> Flow<Value> {
    let name = {
        let db = exchange.pool.db();
        let given = ["ref", "uuid"]
            .iter()
            .find_map(|name| exchange.request.parameter(name))
            .unwrap_or_default();
        let console = match db.exists("console", given) {
            true => given.to_owned(),
            false => match (db.by_uuid("console", given), db.by_uuid("VM", given)) {
                (Some(console), _) => console.to_string(),
                (None, Some(vm)) => db
                    .members("VM", &vm, "consoles")
                    .into_iter()
                    .next()
                    .unwrap_or_default(),
                (None, None) => String::new(),
            },
        };
        if !db.exists("console", &console) {
            return Err(Broken::Refused(404, Fault::handle_invalid("console", given)));
        }
        let vm = db.text("console", &console, "VM");
        if db.get("VM", &vm, "is_control_domain").bool() {
            let needed = rbac::need(
                &db,
                &exchange.session,
                "http/connect_console/host_console",
                "pool-admin",
            );
            needed.map_err(|fault| Broken::Refused(403, fault))?;
        }
        if !matches!(db.get("VM", &vm, "power_state").str(), "Running" | "Paused") {
            return Err(Fault::new("VM_BAD_POWER_STATE", [&*vm, "running", "halted"]).into());
        }
        if db.text("console", &console, "protocol") != "rfb" {
            return Err(Broken::Refused(
                404,
                Fault::internal("no socket for this console"),
            ));
        }
        db.text("VM", &vm, "name_label")
    };
    match exchange.request.method.as_str() {
        "GET" => exchange.upgrade().await?,
        _ => exchange.begin(&[]).await?,
    }
    serve(exchange, &name).await?;
    Ok(Value::void())
}

/// How the client wants its pixels: bytes each, their order, and the largest value and place of each colour.
#[derive(Clone, Copy)]
struct Format {
    bytes: usize,
    big_endian: bool,
    colours: [(u16, u8); 3],
}

const OURS: Format = Format {
    bytes: 4,
    big_endian: false,
    colours: [(255, 16), (255, 8), (255, 0)],
};

impl Format {
    fn read(bytes: &[u8]) -> Option<Format> {
        let colour =
            |most: usize, shift: usize| (u16::from_be_bytes([bytes[most], bytes[most + 1]]), bytes[shift]);
        let format = Format {
            bytes: usize::from(bytes[0] / 8),
            big_endian: bytes[2] != 0,
            colours: [colour(4, 10), colour(6, 11), colour(8, 12)],
        };
        let fits = format.colours.iter().all(|(_, shift)| *shift < 32);
        (matches!(format.bytes, 1 | 2 | 4) && bytes[3] != 0 && fits).then_some(format)
    }

    fn pixel(self, colour: [u8; 3], out: &mut Vec<u8>) {
        let parts = self.colours.iter().zip(colour);
        let value = parts.fold(0_u32, |value, ((most, shift), part)| {
            value | (u32::from(part) * u32::from(*most) / 255) << shift
        });
        match self.big_endian {
            true => out.extend_from_slice(&value.to_be_bytes()[4 - self.bytes..]),
            false => out.extend_from_slice(&value.to_le_bytes()[..self.bytes]),
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(exchange: &mut Exchange<'_, S>, name: &str) -> Flow<()> {
    exchange.send(b"RFB 003.008\n").await?;
    let Some(version) = exchange.take(12).await? else {
        return Ok(());
    };
    if !version.starts_with(b"RFB 003.") {
        return Err(Broken::Lost);
    }
    // One kind of security: none. Clients before 3.7 are told instead of asked.
    if version < b"RFB 003.007\n".to_vec() {
        exchange.send(&1_u32.to_be_bytes()).await?;
    } else {
        exchange.send(&[1, 1]).await?;
        match exchange.take(1).await?.as_deref() {
            Some([1]) => {}
            _ => return Err(Broken::Lost),
        }
        if version >= b"RFB 003.008\n".to_vec() {
            exchange.send(&0_u32.to_be_bytes()).await?;
        }
    }
    exchange.take(1).await?;
    let mut hello = [WIDTH.to_be_bytes(), HEIGHT.to_be_bytes()].concat();
    hello.extend_from_slice(&[32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);
    hello.extend_from_slice(&(name.len() as u32).to_be_bytes());
    hello.extend_from_slice(name.as_bytes());
    exchange.send(&hello).await?;
    let (mut format, mut screen) = (OURS, Screen::default());
    while let Some(kind) = exchange.take(1).await? {
        match kind[0] {
            0 => {
                let Some(bytes) = exchange.take(19).await? else {
                    break;
                };
                format = Format::read(&bytes[3..]).ok_or(Broken::Lost)?;
            }
            2 => {
                let Some(head) = exchange.take(3).await? else {
                    break;
                };
                let count = usize::from(u16::from_be_bytes([head[1], head[2]]));
                exchange.take(count * 4).await?;
            }
            3 => {
                let Some(bytes) = exchange.take(9).await? else {
                    break;
                };
                let incremental = bytes[0] != 0;
                if incremental && screen.is_shown {
                    // There is nothing new until somebody does something.
                    screen.asked = true;
                } else {
                    exchange.send(&screen.draw(format)).await?;
                }
            }
            4 => {
                let Some(bytes) = exchange.take(7).await? else {
                    break;
                };
                screen.keys += u32::from(bytes[0]);
                screen.is_shown = false;
            }
            5 => {
                let Some(bytes) = exchange.take(5).await? else {
                    break;
                };
                let x = u16::from_be_bytes([bytes[1], bytes[2]]);
                screen.is_shown &= x == screen.pointer;
                screen.pointer = x;
            }
            6 => {
                let Some(head) = exchange.take(7).await? else {
                    break;
                };
                let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
                if length > MAX_TEXT {
                    return Err(Broken::Lost);
                }
                exchange.take(length).await?;
            }
            _ => return Err(Broken::Lost),
        }
        if screen.asked && !screen.is_shown {
            exchange.send(&screen.draw(format)).await?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Screen {
    keys: u32,
    pointer: u16,
    /// Whether the client has seen it as it is.
    is_shown: bool,
    /// Whether the client waits for a change.
    asked: bool,
}

impl Screen {
    /// The whole screen as one rectangle of raw pixels.
    fn draw(&mut self, format: Format) -> Vec<u8> {
        (self.is_shown, self.asked) = (true, false);
        let mut out = vec![0, 0, 0, 1, 0, 0, 0, 0];
        out.extend([WIDTH.to_be_bytes(), HEIGHT.to_be_bytes()].concat());
        out.extend_from_slice(&0_i32.to_be_bytes());
        let bar = 20 + self.keys % 600;
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let colour = match (x, y) {
                    (x, 40..60) if u32::from(x) < bar => [90, 200, 120],
                    (x, 80..120) if x.abs_diff(self.pointer) < 8 => [230, 180, 60],
                    (_, y) if y % 16 == 0 => [30, 30, 60],
                    _ => [12, 12, 40],
                };
                format.pixel(colour, &mut out);
            }
        }
        out
    }
}
