package property_test

import (
	"flag"
	"os"
	stdtesting "testing"
)

// checks is how many histories a plain run plays. A soak asks for more of them.
const checks = "30"

func TestMain(m *stdtesting.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
