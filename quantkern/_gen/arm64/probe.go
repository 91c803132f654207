package main

// The probes measure what the processor can do, for quantkern.ReadProbe and
// quantkern.Int8Probe.

// readProbe streams memory: the exclusive or of all 64-bit words.
func (f *file) readProbe() {
	doc := "returns the exclusive or of the 64-bit words of blocks of 512 bytes, prefetched ahead bytes before they are read."
	f.kernel("ReadProbe", doc, "uint64", []string{"p *byte", "blocks uintptr", "ahead uintptr"}, func(k *kernel) {
		p, ahead := k.arg("p"), k.arg("ahead")
		acc := k.vec(8)
		k.zero(acc...)
		k.loop(k.arg("blocks"), func() {
			next, v := k.general(), k.vec(8)
			k.op("ADD %v, %v, %v", ahead, p, next)
			for quarter := range 4 {
				for line := range 2 {
					k.op("PRFM %d(%v), PLDL1KEEP", 128*quarter+64*line, next)
				}
				for i := 0; i < 8; i += 2 {
					k.op("FLDPQ %d(%v), (F%d, F%d)", 128*quarter+16*i, p, v[i], v[i+1])
				}
				for i := range v {
					k.op("VEOR %v.B16, %v.B16, %v.B16", v[i], acc[i], acc[i])
				}
			}
			k.advance(512, p)
		})
		for n := len(acc) / 2; n > 0; n /= 2 {
			for i := range n {
				k.op("VEOR %v.B16, %v.B16, %v.B16", acc[i+n], acc[i], acc[i])
			}
		}
		lo, hi := k.general(), k.general()
		k.op("VMOV %v.D[0], %v", acc[0], lo)
		k.op("VMOV %v.D[1], %v", acc[0], hi)
		k.op("EOR %v, %v, %v", hi, lo, lo)
		k.op("MOVD %v, %s", lo, k.at("ret"))
	})
}

// int8Probe multiplies ones with ones in registers, 1024 products a round, as
// the ternary tiles do, and counts them. round adds a round to 16 registers.
func (f *file) int8Probe(name string, round func(k *kernel, acc []vreg, ones vreg)) {
	doc := "adds up 1024 products of int8 ones a round, modulo 2^32."
	f.kernel(name, doc, "uint32", []string{"rounds uintptr"}, func(k *kernel) {
		ones, acc := k.vec1(), k.vec(16)
		k.op("VMOVI $1, %v.B16", ones)
		k.zero(acc...)
		k.loop(k.arg("rounds"), func() { round(k, acc, ones) })
		for n := len(acc) / 2; n > 0; n /= 2 {
			for i := range n {
				k.op("VADD %v.S4, %v.S4, %v.S4", acc[i+n], acc[i], acc[i])
			}
		}
		k.op("VADDV %v.S4, %v", acc[0], acc[0])
		r := k.general()
		k.op("VMOV %v.S[0], %v", acc[0], r)
		k.op("MOVW %v, %s", r, k.at("ret"))
	})
}

// wideningRound: sums of eight products in int16, then added to int32.
func wideningRound(k *kernel, acc []vreg, ones vreg) {
	for half := range 2 {
		t := k.vec(8)
		for step := range 8 {
			for _, v := range t {
				switch {
				case step == 0:
					k.word(smull(v, ones, ones))
				case step%2 == 0:
					k.word(smlal(v, ones, ones))
				default:
					k.word(smlal2(v, ones, ones))
				}
			}
		}
		for i, v := range t {
			k.word(sadalp(acc[8*half+i], v))
		}
		k.v -= len(t)
	}
}

// dotRound: the dot-product instruction.
func dotRound(k *kernel, acc []vreg, ones vreg) {
	for range 4 {
		for _, a := range acc {
			k.word(sdot(a, ones, ones))
		}
	}
}

func (f *file) probes() {
	f.readProbe()
	f.int8Probe("Int8Probe", wideningRound)
	f.int8Probe("Int8ProbeDot", dotRound)
}
