//go:build !linux

package program

func guardMemory() {}
