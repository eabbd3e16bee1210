//go:build !windows && !(cgo && (linux || darwin))

package yubikey

// newDriver gives the driver of a build without cgo: there are no cards.
func newDriver() driver {
	return driver{
		readers: func() ([]string, error) { return nil, ErrNoSupport },
		watch:   func() (string, error) { return "", ErrNoSupport },
		open:    func(string) (card, error) { return nil, ErrNoSupport },
	}
}
