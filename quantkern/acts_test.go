package quantkern

// actsOf are rows of given values and scales.
func actsOf(q []int8, s []float32, cols int) *Acts {
	var a Acts
	a.Reset(len(s), cols)
	for i := range s {
		copy(a.q[i*a.stride:], q[i*cols:(i+1)*cols])
		a.scale[i] = s[i]
		a.arrange(i)
	}
	return &a
}
