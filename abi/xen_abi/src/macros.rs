//! Declares structures and constants and, from the same text, the tables that the layout test checks.

/// Declares plain structures and a table of their layouts.
///
/// `#[c = "…"]` gives the C type, and on a field the C member when its name differs. Deriving `IntoBytes`
/// proves that a structure has no implicit padding.
macro_rules! abi_structs {
    ($table:ident, $cpu:ident;
     $($(#[doc = $doc:expr])* #[c = $c:literal] pub struct $name:ident {
        $($(#[doc = $field_doc:expr])* $(#[c = $field_c:literal])? pub $field:ident: $ty:ty,)*
     })*) => {
        $(
            $(#[doc = $doc])*
            #[doc(alias = $c)]
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq,
                ::zerocopy::FromBytes, ::zerocopy::IntoBytes, ::zerocopy::Immutable, ::zerocopy::KnownLayout,
            )]
            #[repr(C)]
            pub struct $name {
                $($(#[doc = $field_doc])* pub $field: $ty,)*
            }
        )*

        /// Layouts of this header's structures, for the comparison with the reference headers.
        pub const $table: &[$crate::layout::StructLayout] = &[$(
            $crate::layout::StructLayout {
                c_type: $c,
                cpu: $crate::layout::Cpu::$cpu,
                size: ::core::mem::size_of::<$name>(),
                align: ::core::mem::align_of::<$name>(),
                fields: &[$(
                    $crate::layout::FieldLayout {
                        name: abi_structs!(@name $field $($field_c)?),
                        offset: ::core::mem::offset_of!($name, $field),
                        size: ::core::mem::size_of::<$ty>(),
                    },
                )*],
            },
        )*];
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $c:literal) => { $c };
}

/// Declares constants under their header names and a table of their values.
macro_rules! abi_consts {
    ($table:ident, $cpu:ident;
     $($(#[doc = $doc:expr])* pub const $name:ident: $ty:ty = $value:expr;)*) => {
        $(
            $(#[doc = $doc])*
            pub const $name: $ty = $value;
        )*

        /// Values of this header's constants, for the comparison with the reference headers.
        pub const $table: &[$crate::layout::ConstValue] = &[$(
            $crate::layout::ConstValue {
                name: stringify!($name),
                cpu: $crate::layout::Cpu::$cpu,
                value: $name as i128,
            },
        )*];
    };
}

/// Gives a structure whose last word array stands for a C union typed views of that array.
macro_rules! abi_payload {
    ($($name:ident.$field:ident: $words:ty;)*) => {$(
        impl $name {
            /// Reads the union as a `T`. A `T` larger than the union, or more strictly aligned, does not
            /// compile.
            #[inline]
            pub fn read_payload<T: $crate::Plain>(&self) -> T {
                const {
                    assert!(::core::mem::size_of::<T>() <= ::core::mem::size_of::<$words>());
                    assert!(::core::mem::align_of::<T>() <= ::core::mem::align_of::<$words>());
                }
                let mut value = T::new_zeroed();
                let bytes = ::zerocopy::IntoBytes::as_bytes(&self.$field);
                if let Some(bytes) = bytes.get(..::core::mem::size_of::<T>()) {
                    value.as_mut_bytes().copy_from_slice(bytes);
                }
                value
            }

            /// Writes `value` to the union and leaves the bytes behind it as they were. A `T` larger than the
            /// union, or more strictly aligned, does not compile.
            #[inline]
            pub fn write_payload<T: $crate::Plain>(&mut self, value: &T) {
                const {
                    assert!(::core::mem::size_of::<T>() <= ::core::mem::size_of::<$words>());
                    assert!(::core::mem::align_of::<T>() <= ::core::mem::align_of::<$words>());
                }
                let bytes = ::zerocopy::IntoBytes::as_mut_bytes(&mut self.$field);
                if let Some(bytes) = bytes.get_mut(..::core::mem::size_of::<T>()) {
                    bytes.copy_from_slice(value.as_bytes());
                }
            }
        }
    )*};
}
