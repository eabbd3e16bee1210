//go:build !cgo || !linux

package main

import "errors"

// yubikey needs the card library and a virtual card behind pcscd.
func (b *bench) yubikey() error {
	return errors.New("the rows of YubiKeys need Linux and a build with cgo")
}
