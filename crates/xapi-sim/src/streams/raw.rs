//! Disks alone: `/export_raw_vdi` and `/import_raw_vdi`, as plain bytes or as VHD, whole or what differs from another.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Broken, Exchange, Flow, vhd};
use crate::db::Db;
use crate::fault::Fault;
use crate::ops;
use crate::value::Value;

/// Read and written at once.
pub const PIECE: u64 = 1 << 20;

pub async fn export<S: AsyncRead + AsyncWrite + Unpin>(exchange: &mut Exchange<'_, S>) -> Flow<Value> {
    let vdi = exchange.named("VDI", &["vdi"])?;
    let (uuid, size) = described(exchange, &vdi);
    let disposition = |format: &str| format!("attachment; filename=\"{uuid}.{format}\"");
    match exchange.request.parameter("format").unwrap_or("raw") {
        "raw" => {
            let (length, name) = (size.to_string(), disposition("raw"));
            exchange
                .begin(&[
                    ("Content-Type", "application/octet-stream"),
                    ("Content-Length", &length),
                    ("Content-Disposition", &name),
                ])
                .await?;
            for at in (0..size).step_by(PIECE as usize) {
                let length = PIECE.min(size - at) as usize;
                let bytes = exchange.pool.db().disks.read(&vdi, &uuid, at, length);
                exchange.send(&bytes.unwrap_or_else(|| vec![0; length])).await?;
                exchange.progress(at as f64 / size as f64)?;
            }
        }
        "vhd" => {
            let base = match exchange.request.parameter("base") {
                Some(_) => {
                    let base = exchange.named("VDI", &["base"])?;
                    let (uuid, _) = described(exchange, &base);
                    Some((base, uuid))
                }
                None => None,
            };
            let name = disposition("vhd");
            exchange
                .begin(&[
                    ("Content-Type", "application/vhd"),
                    ("Content-Disposition", &name),
                ])
                .await?;
            let base = base.as_ref().map(|(base, uuid)| [base.as_str(), uuid.as_str()]);
            vhd::send(exchange, [&vdi, &uuid], size, base).await?;
        }
        other => return Err(unknown(other)),
    }
    Ok(Value::void())
}

fn unknown(format: &str) -> Broken {
    Broken::Refused(404, Fault::internal(format!("Unknown format {format}")))
}

fn described<S>(exchange: &Exchange<'_, S>, vdi: &str) -> (String, u64) {
    let db = exchange.pool.db();
    (
        db.text("VDI", vdi, "uuid"),
        db.get("VDI", vdi, "virtual_size").int() as u64,
    )
}

pub async fn import<S: AsyncRead + AsyncWrite + Unpin>(exchange: &mut Exchange<'_, S>) -> Flow<Value> {
    let request = exchange.request;
    let encoding = request.header("transfer-encoding");
    if let Some(encoding) = encoding {
        let text = format!("Cannot handle encoding: {encoding}");
        return Err(Broken::Refused(404, Fault::internal(text)));
    }
    let format = request.parameter("format").unwrap_or("raw");
    let chunked = request.parameter("chunked").is_some();
    if !matches!(format, "raw" | "vhd") || chunked && format != "raw" {
        return Err(unknown(format));
    }
    let vdi = match request.parameter("vdi") {
        Some(_) => exchange.named("VDI", &["vdi"])?,
        None => match (format, exchange.length()) {
            ("raw", Some(length)) => {
                let sr = exchange.named("SR", &["sr_id", "sr_uuid"])?;
                exchange.pool.write(|db| {
                    let vdi = ops::new_vdi(db, &sr, "Imported VDI", length as i64);
                    db.disks.blank(&vdi);
                    vdi
                })
            }
            _ => return Err(Broken::Refused(400, Fault::internal("no VDI is named"))),
        },
    };
    let (uuid, size) = described(exchange, &vdi);
    refuse_attached(&exchange.pool.db(), &vdi)?;
    exchange.begin(&[]).await?;
    match (format, chunked) {
        ("vhd", _) => vhd::receive(exchange, &vdi, &uuid, size).await?,
        (_, true) => chunks(exchange, &vdi, &uuid, size).await?,
        _ => {
            let total = exchange.length().unwrap_or(size);
            let mut at = 0;
            while at < total {
                let Some(bytes) = exchange.take(PIECE.min(total - at) as usize).await? else {
                    break;
                };
                write(exchange, &vdi, &uuid, size, at, &bytes)?;
                at += bytes.len() as u64;
                exchange.progress(at as f64 / total as f64)?;
            }
        }
    }
    Ok(Value::from(vdi))
}

fn refuse_attached(db: &Db, vdi: &str) -> Result<(), Fault> {
    let mut vbds = db.members("VDI", vdi, "VBDs").into_iter();
    match vbds.any(|vbd| db.get("VBD", &vbd, "currently_attached").bool()) {
        true => Err(Fault::new("VDI_IN_USE", [vdi, "import"])),
        false => Ok(()),
    }
}

/// XAPI's own framing: offset and length before each piece, zeros at the end.
async fn chunks<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    vdi: &str,
    uuid: &str,
    size: u64,
) -> Flow<()> {
    let ends = || Broken::Fault(Fault::bare("IMPORT_ERROR_PREMATURE_EOF"));
    loop {
        let head = exchange.take(12).await?.ok_or_else(ends)?;
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let (mut at, mut left) = (number(&head[..8]), number(&head[8..]));
        if left == 0 {
            return Ok(());
        }
        while left > 0 {
            let bytes = exchange.take(PIECE.min(left) as usize).await?.ok_or_else(ends)?;
            write(exchange, vdi, uuid, size, at, &bytes)?;
            at += bytes.len() as u64;
            left -= bytes.len() as u64;
        }
    }
}

/// Writes a piece; what does not fit the disk or the simulator's memory is an error of the repository.
pub fn write<S>(
    exchange: &Exchange<'_, S>,
    vdi: &str,
    uuid: &str,
    size: u64,
    at: u64,
    bytes: &[u8],
) -> Flow<()> {
    let failed = |code: &str, text: &str| Broken::Fault(Fault::new(code, ["", text, ""]));
    let end = at.checked_add(bytes.len() as u64);
    if end.is_none_or(|end| end > size) {
        return Err(failed(
            "SR_BACKEND_FAILURE_200",
            "I/O error: behind the end of the disk",
        ));
    }
    let written = exchange.pool.db().disks.write(vdi, uuid, at, bytes);
    written.map_err(|_| failed("SR_BACKEND_FAILURE_44", "There is insufficient space"))
}
