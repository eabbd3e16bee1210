package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/signet-trust/signet/"

// A pkg is what `go list` says of one package.
type pkg struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	CgoFiles     []string
	Imports      []string
	Deps         []string
	TestGoFiles  []string
	XTestGoFiles []string
}

// list asks `go list -deps=false` for packages, with the given environment.
func list(t *testing.T, env []string, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// mayImport is DESIGN, section 3: which of our packages each package may import.
// What is not listed may import nothing of ours; cmd wires and may import all but
// tests; test code may import all.
var mayImport = map[string][]string{
	"tuf":               nil,
	"attestation":       {"tuf"},
	"migrations":        nil,
	"keystore":          {"tuf"},
	"keystore/yubikey":  {"tuf", "keystore", "attestation"},
	"server/api":        {"tuf"},
	"signer/api":        {"tuf"},
	"server/store":      {"tuf", "server/api", "migrations"},
	"client":            {"tuf", "server/api", "signer/api", "attestation"},
	"client/registry":   {"tuf", "client"},
	"internal/limit":    nil,
	"internal/jsonline": nil,
	"server":            {"tuf", "server/api", "signer/api", "attestation", "internal/limit"},
	"signer":            {"tuf", "signer/api"},
	"drill":             {"tuf", "client", "server/api"},
	"policy":            {"tuf", "client", "attestation"},
	"nodecheck":         nil,
	"workload":          nil,
	"imagefile":         {"tuf", "workload"},
	"guard":             {"tuf", "client", "policy", "guard/door", "internal/jsonline", "internal/limit"},
	"guard/door":        {"tuf", "client", "policy"},
	"guard/containerd":  {"tuf", "client", "policy", "guard/door"},
	"guard/kubernetes":  {"tuf", "client", "policy", "guard/door", "workload", "internal/jsonline"},
}

func TestImportTable(t *testing.T) {
	for _, p := range list(t, nil, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		isCmd, isTest := strings.HasPrefix(name, "cmd/"), strings.HasPrefix(name, "test/")
		// storetest is the stores' conformance suite: test code that stands beside them.
		isTest = isTest || strings.HasSuffix(name, "test")
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module)
			if !ok || isTest {
				continue
			}
			switch {
			case strings.HasPrefix(ours, "test/"):
				t.Errorf("%s imports %s: test code stays out of what is shipped", name, ours)
			case isCmd:
			case strings.HasPrefix(ours, name+"/internal"):
			case !slices.Contains(mayImport[name], ours):
				t.Errorf("%s imports %s, which the table does not allow", name, ours)
			}
		}
	}
}

// TestAVerifierLinksLittle holds the SDK to its promise: whoever embeds it links
// no database driver, no card library, no registry client, and no cgo of ours.
func TestAVerifierLinksLittle(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "./client", "./tuf") {
		for _, dep := range p.Deps {
			for _, forbidden := range []string{"modernc.org/", "github.com/lib/pq", "database/sql", "go-piv", "go-containerregistry/pkg/v1/remote", "spf13/cobra", "prometheus", "runtime/cgo/handle"} {
				if strings.Contains(dep, forbidden) {
					t.Errorf("%s links %s", p.ImportPath, dep)
				}
			}
		}
	}
}

// TestTheGateLinksLittle: what stands in front of every deploy is one static program,
// with no database and no cards. (The metrics' library names database/sql, which
// without a driver is no database.)
func TestTheGateLinksLittle(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=0"}, "./cmd/signet-guard") {
		for _, dep := range p.Deps {
			for _, forbidden := range []string{"modernc.org/", "github.com/lib/pq", "go-piv", "ebfe/scard", "runtime/cgo"} {
				if strings.Contains(dep, forbidden) {
					t.Errorf("%s links %s", p.ImportPath, dep)
				}
			}
		}
	}
}

// TestTheCommandLineLinksNoGate: signet decides by the code of a gate's doors, and
// needs nothing of the server around them.
func TestTheCommandLineLinksNoGate(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=0"}, "./cmd/signet") {
		for _, dep := range p.Deps {
			for _, forbidden := range []string{"modernc.org/", "github.com/lib/pq", "database/sql", "prometheus", "expvar"} {
				if strings.Contains(dep, forbidden) {
					t.Errorf("%s links %s", p.ImportPath, dep)
				}
			}
		}
	}
}

func TestOnlyTheYubiKeyPackageNeedsCgo(t *testing.T) {
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "./...") {
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s has cgo files of its own", p.ImportPath)
		}
		if slices.Contains(p.Imports, "github.com/go-piv/piv-go/v2/piv") && !strings.HasPrefix(p.ImportPath, module+"keystore/yubikey") && !strings.HasPrefix(p.ImportPath, module+"test/") {
			t.Errorf("%s imports piv-go", p.ImportPath)
		}
	}
}

// files parses every Go file of the project that is not a test.
func files(t *testing.T) (*token.FileSet, map[string][]*ast.File) {
	t.Helper()
	set, byDir := token.NewFileSet(), map[string][]*ast.File{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		byDir[filepath.Dir(path)] = append(byDir[filepath.Dir(path)], file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return set, byDir
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	set, byDir := files(t)
	for _, parsed := range byDir {
		for _, file := range parsed {
			if file.Name.Name == "main" {
				continue
			}
			for _, decl := range file.Decls {
				for _, name := range undocumented(decl) {
					t.Errorf("%s: exported %s has no doc comment", set.Position(name.Pos()), name.Name)
				}
			}
		}
	}
}

// undocumented returns the exported names that a declaration leaves without a
// doc comment. One comment over a group of constants or variables is enough.
func undocumented(decl ast.Decl) []*ast.Ident {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && !methodOfUnexported(d) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		var names []*ast.Ident
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
						names = append(names, name)
					}
				}
			}
		}
		return names
	}
	return nil
}

func methodOfUnexported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return false
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if generic, ok := typ.(*ast.IndexExpr); ok {
		typ = generic.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && !name.IsExported()
}

// TestNoPackageKeepsState refuses assignments to variables of a package: what is
// set once and read ever after (sentinel errors, patterns, tables) may stand
// there, what changes may not.
func TestNoPackageKeepsState(t *testing.T) {
	set, byDir := files(t)
	for _, parsed := range byDir {
		vars := map[string]bool{}
		for _, file := range parsed {
			for _, decl := range file.Decls {
				if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
					for _, spec := range d.Specs {
						for _, name := range spec.(*ast.ValueSpec).Names {
							vars[name.Name] = name.Name != "_" // an assertion keeps nothing
						}
					}
				}
			}
		}
		for _, file := range parsed {
			ast.Inspect(file, func(n ast.Node) bool {
				var targets []ast.Expr
				switch s := n.(type) {
				case *ast.AssignStmt:
					if s.Tok != token.DEFINE {
						targets = s.Lhs
					}
				case *ast.IncDecStmt:
					targets = []ast.Expr{s.X}
				}
				for _, target := range targets {
					if name := base(target); name != nil && vars[name.Name] && packageLevel(name) {
						t.Errorf("%s: assigns to %s, a variable of the package", set.Position(name.Pos()), name.Name)
					}
				}
				return true
			})
		}
	}
}

// base returns the variable that an assignment's left side changes.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// packageLevel tells whether the parser resolved name to no local variable.
func packageLevel(name *ast.Ident) bool {
	if name.Obj == nil {
		return true // declared in another file
	}
	// A local `var x` that shadows a variable of the package is reported too: the
	// shadowing is worth another name.
	_, ok := name.Obj.Decl.(*ast.ValueSpec)
	return ok
}

func TestBuildsForOtherSystems(t *testing.T) {
	for _, system := range []string{"darwin/arm64", "windows/amd64"} {
		goos, goarch, _ := strings.Cut(system, "/")
		cmd := exec.Command("go", "build", "-o", t.TempDir()+"/", "./cmd/...")
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", system, err, out)
		}
	}
}
