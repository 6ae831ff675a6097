//! A list with a fixed capacity: there is no heap when the boot data is read.
#![forbid(unsafe_code)]

/// Up to `N` items.
#[derive(Clone, Debug)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

/// The list has no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// An empty list.
    pub fn new() -> Self {
        Self { items: [T::default(); N], len: 0 }
    }

    /// Puts `item` at index `at`, before what is there; beyond the end, at the end.
    pub fn insert(&mut self, at: usize, item: T) -> Result<(), Full> {
        *self.items.get_mut(self.len).ok_or(Full)? = item;
        self.len = self.len.saturating_add(1);
        if let Some(tail) = self.items.get_mut(at..self.len)
            && !tail.is_empty()
        {
            tail.rotate_right(1);
        }
        Ok(())
    }

    /// Puts `item` at the end.
    pub fn push(&mut self, item: T) -> Result<(), Full> {
        self.insert(self.len, item)
    }

    /// The items.
    pub fn as_slice(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_beyond_the_capacity_is_refused() {
        let mut list = List::<u8, 2>::new();
        assert_eq!(list.push(1), Ok(()));
        assert_eq!(list.push(2), Ok(()));
        assert_eq!(list.push(3), Err(Full));
        assert_eq!(list.as_slice(), [1, 2]);
    }

    #[test]
    fn inserted_item_moves_the_rest() {
        let mut list = List::<u8, 4>::new();
        list.push(1).unwrap();
        list.push(3).unwrap();
        list.insert(1, 2).unwrap();
        list.insert(9, 4).unwrap();
        assert_eq!(list.as_slice(), [1, 2, 3, 4]);
    }
}
