//! Transactions, which are lost with the connection that they began on.

use crate::client::Client;
use crate::error::Error;
use crate::operations::{Operations, string};
use xen_abi::Errno;
use xenstore_wire::MessageType;

/// An open transaction. Dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct Transaction<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) number: u32,
    pub(crate) connection: u64,
    pub(crate) is_over: bool,
}

impl Transaction<'_> {
    /// Makes all changes at once.
    ///
    /// # Errors
    /// [`Error::Refused`] with `EAGAIN` when others changed what was read: start over. Any other [`Error`].
    pub fn commit(mut self) -> Result<(), Error> {
        self.is_over = true;
        match self.exchange(MessageType::TransactionEnd, "the transaction", string("T")?) {
            Err(Error::Io(error)) => {
                self.client.reconnect(error)?;
                Err(Error::Lost)
            }
            outcome => outcome.map(drop),
        }
    }

    fn exchange(&mut self, kind: MessageType, subject: &str, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        if self.connection != self.client.connection {
            return Err(Error::Refused { request: kind, subject: subject.to_owned(), errno: Errno::EAGAIN });
        }
        self.client.exchange(kind, self.number, subject, payload)
    }
}

impl Operations for Transaction<'_> {
    fn request(&mut self, kind: MessageType, subject: &str, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        match self.exchange(kind, subject, payload) {
            Err(Error::Io(error)) => {
                self.client.reconnect(error)?;
                Err(Error::Refused { request: kind, subject: subject.to_owned(), errno: Errno::EAGAIN })
            }
            outcome => outcome,
        }
    }

    fn read_all(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let lost = || Error::Refused {
            request: MessageType::Read,
            subject: "nodes".to_owned(),
            errno: Errno::EAGAIN,
        };
        if self.connection != self.client.connection {
            return Err(lost());
        }
        match self.client.exchange_reads(self.number, paths) {
            Err(Error::Io(error)) => {
                self.client.reconnect(error)?;
                Err(lost())
            }
            outcome => outcome,
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.connection == self.client.connection {
            // If this fails, the transaction ends with the connection.
            let _ = self.client.exchange(
                MessageType::TransactionEnd,
                self.number,
                "the transaction",
                b"F\0".to_vec(),
            );
        }
    }
}
