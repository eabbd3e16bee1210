//go:build !linux

package main

// guardMemory does nothing here; turn core dumps off for the service.
func guardMemory() {}
