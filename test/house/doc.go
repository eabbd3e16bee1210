// Package house holds tests about the project as a whole: who may import whom,
// what the programs link, that exported names are documented, that no package
// keeps state in variables, that the code builds for other systems.
package house
