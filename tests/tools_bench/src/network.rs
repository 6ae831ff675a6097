//! UDP packets between a DomU and Dom0, small and large.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::rows::batches;

const PORT: u16 = 4096;
/// With the headers, a frame of the smallest size, and the largest of an Ethernet.
const SMALL: usize = 18;
const LARGE: usize = 1472;
/// Packets that are answered, in a batch.
const ROUND_TRIPS: u32 = 50;
/// Packets one after the other, of which the last is answered.
const STREAM: u32 = 32;
const STREAMS: u32 = 8;
/// First byte of a packet that is answered by one of the same size.
const ANSWER: u8 = 1;
/// After that a packet is lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Packets that are sent first: addresses are resolved and grants made after them.
const WARM_UP: u32 = 100;

/// Answers packets, for ever.
pub fn echo(address: &str) -> Result<()> {
    let socket = UdpSocket::bind((address, PORT)).with_context(|| format!("cannot listen on {address}"))?;
    let mut packet = [0; LARGE];
    loop {
        let (size, from) = socket.recv_from(&mut packet)?;
        if packet.first() == Some(&ANSWER) {
            socket.send_to(&packet[..size], from)?;
        }
    }
}

/// All rows, with packets to an [`echo`].
pub fn rows(address: &str) -> Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).context("no socket")?;
    socket.connect((address, PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for _ in 0..WARM_UP {
        round_trip(&socket, LARGE)?;
    }
    batches::<22>("net-small", ROUND_TRIPS, 2, || round_trip(&socket, SMALL))?;
    batches::<23>("net-large", ROUND_TRIPS, 2, || round_trip(&socket, LARGE))?;
    batches::<24>("stream-small", STREAMS, STREAM, || stream(&socket, SMALL))?;
    batches::<25>("stream-large", STREAMS, STREAM, || stream(&socket, LARGE))
}

fn round_trip(socket: &UdpSocket, size: usize) -> Result<()> {
    let mut packet = [0; LARGE];
    packet[0] = ANSWER;
    socket.send(&packet[..size])?;
    let got = socket.recv(&mut packet).context("no answer")?;
    if got != size {
        bail!("an answer of {got} bytes to {size}");
    }
    Ok(())
}

fn stream(socket: &UdpSocket, size: usize) -> Result<()> {
    let silent = [0; LARGE];
    for _ in 1..STREAM {
        socket.send(&silent[..size])?;
    }
    round_trip(socket, size)
}
