//! A small sort: the standard library's fast ones are several KiB of code for each type.

/// Sorts in place, n log n at worst (heap sort).
pub fn sort<T: Ord>(items: &mut [T]) {
    let len = items.len();
    for root in (0..len / 2).rev() {
        sift_down(items, root);
    }
    for end in (1..len).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sift_down(heap, 0);
        }
    }
}

/// Moves the item at `root` down until none below it is larger.
fn sift_down<T: Ord>(heap: &mut [T], root: usize) {
    let mut root = root;
    loop {
        // Half of any slice's length is far from overflow.
        let left = root.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let (Some(parent), Some(first)) = (heap.get(root), heap.get(left)) else {
            return;
        };
        let (child, larger) = match heap.get(right) {
            Some(second) if second > first => (right, second),
            _ => (left, first),
        };
        if larger <= parent {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn result_is_what_the_standard_library_makes(
            mut items in prop::collection::vec(any::<u8>(), 0..100)
        ) {
            let mut expected = items.clone();
            expected.sort();
            sort(&mut items);
            prop_assert_eq!(items, expected);
        }
    }
}
