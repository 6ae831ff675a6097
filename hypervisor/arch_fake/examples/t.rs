use arch_fake::*;use hal::*;use std::time::Instant;
fn main(){
 let t=Instant::now(); for _ in 0..1000 {let m=Machine::new(Config::default()); m.frame(Mfn(0x40000)).unwrap().store64(0,1);} println!("new {:?}/it",t.elapsed()/1000);
 let m=Machine::new(Config::default());
 let n=1_000_000u32;
 let t=Instant::now(); for i in 0..n {m.frame(Mfn(0x40000)).unwrap().store64((i as usize*8)&0xfff,1);} println!("frame+store64 {:?}",t.elapsed()/n);
 let t=Instant::now(); for i in 0..n {m.frame(Mfn(0x40000)).unwrap().store32((i as usize*8)&0xfff,1);} println!("frame+store32 {:?}",t.elapsed()/n);
 let t=Instant::now(); let mut b=[0u8;64];for _ in 0..n {m.frame(Mfn(0x40000)).unwrap().read(0,&mut b);} println!("read64B {:?}",t.elapsed()/n);
 let t=Instant::now(); for _ in 0..n {std::hint::black_box(m.this_cpu());} println!("this_cpu {:?}",t.elapsed()/n);
 let root=Stage2Root{table:Mfn(0x40000),tag:1}; for i in 0..3{m.frame(Mfn(0x40000+i)).unwrap().zero();}
 m.frame(Mfn(0x40000)).unwrap().store64(0,FakeStage2::table(Mfn(0x40002)));
 m.frame(Mfn(0x40002)).unwrap().store64(0,FakeStage2::leaf(Mfn(0x40200),1,MapAttr::RAM,0)); m.set_stage2(root);
 let t=Instant::now(); for _ in 0..n {std::hint::black_box(m.translate(0x1234,true));} println!("translate {:?}",t.elapsed()/n);
 let t=Instant::now(); for _ in 0..n {m.flush_gfns(root,Gfn(9),1);} println!("flush {:?}",t.elapsed()/n);
 let h=Machine::new(Config::hostile()); for i in 0..3{h.frame(Mfn(0x40000+i)).unwrap().zero();} h.set_log(false);
 let t=Instant::now(); for _ in 0..1000 {h.set_stage2(Stage2Root{table:Mfn(0x40000),tag:1});h.set_stage2(Stage2Root{table:Mfn(0x40000),tag:2});} println!("hostile set_stage2 {:?}",t.elapsed()/2000);
}
