package attack

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"time"
)

// on limits an attack to the files of one role; "" means all.
func on(role string, attack Attack) Attack {
	return func(a *Answer) {
		if a.File != "" && a.Status == http.StatusOK && (role == "" || a.Role() == role) {
			attack(a)
		}
	}
}

// Flip changes one bit of the role's file: of the byte at offset, counted from
// the end when negative.
func Flip(role string, offset int) Attack {
	return on(role, func(a *Answer) {
		data := bytes.Clone(a.Body)
		at := offset
		if at < 0 {
			at += len(data)
		}
		if at >= 0 && at < len(data) {
			data[at] ^= 1
		}
		a.Body = data
	})
}

// Truncate serves the first n bytes of the role's file only.
func Truncate(role string, n int) Attack {
	return on(role, func(a *Answer) { a.Body = a.Body[:min(n, len(a.Body))] })
}

// Body serves the given bytes in place of the role's file.
func Body(role string, data []byte) Attack {
	return on(role, func(a *Answer) { a.Body = data })
}

// Hide says that the role's files do not exist: a new root that is kept away.
func Hide(role string) Attack { return on(role, notFound) }

// Status answers with another status.
func Status(role string, status int) Attack {
	return on(role, func(a *Answer) { a.Status = status })
}

// Redirect sends the client elsewhere.
func Redirect(role, to string) Attack {
	return on(role, func(a *Answer) {
		a.Status, a.Header = http.StatusFound, http.Header{"Location": {to}}
	})
}

// Endless goes on for ever after the role's file.
func Endless(role string) Attack {
	return on(role, func(a *Answer) {
		data := a.Body
		a.Write = func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write(data)
			for err == nil && r.Context().Err() == nil {
				_, err = w.Write(bytes.Repeat([]byte(" "), 32<<10))
			}
		}
	})
}

// Bomb serves a small compressed body that unpacks to size bytes.
func Bomb(role string, size int) Attack {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	for block := make([]byte, 1<<20); size > 0; size -= len(block) {
		z.Write(block[:min(size, len(block))]) // into memory
	}
	z.Close()
	return on(role, func(a *Answer) {
		a.Header = http.Header{"Content-Encoding": {"gzip"}}
		a.Body = packed.Bytes()
	})
}

// Drip sends one byte of the role's file at a time, with a pause after each.
func Drip(role string, pause time.Duration) Attack {
	return on(role, func(a *Answer) {
		data := a.Body
		a.Write = func(w http.ResponseWriter, r *http.Request) {
			ticker := time.NewTicker(pause)
			defer ticker.Stop()
			for _, b := range data {
				if _, err := w.Write([]byte{b}); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-ticker.C:
				case <-r.Context().Done():
					return
				}
			}
		}
	})
}

// Silence accepts the request and never answers.
func Silence(role string) Attack {
	return on(role, func(a *Answer) {
		a.Write = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	})
}

// HangUp ends the connection in the middle of the role's file.
func HangUp(role string) Attack {
	return on(role, func(a *Answer) {
		data := a.Body
		a.Write = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			w.Write(data[:len(data)/2])
			panic(http.ErrAbortHandler)
		}
	})
}

// NotModified says of the role's file, to whoever asks with what it got before, that
// nothing has changed, whatever has.
func NotModified(role string) Attack {
	return on(role, func(a *Answer) {
		data := a.Body
		a.Write = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"same"`)
			if r.Header.Get("If-None-Match") == `"same"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = w.Write(data)
		}
	})
}

// Hold serves the role's file not before a time.
func Hold(role string, until time.Time) Attack {
	return on(role, func(a *Answer) {
		data := a.Body
		a.Write = func(w http.ResponseWriter, r *http.Request) {
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			select {
			case <-timer.C:
				_, _ = w.Write(data)
			case <-r.Context().Done():
			}
		}
	})
}
