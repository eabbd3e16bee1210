package api

import (
	"net/url"
	"strconv"
	"strings"
)

// Paths without a parameter.
const (
	ServerPath       = "/v1/server"
	TokenPath        = "/v1/token"
	RepositoriesPath = "/v1/repositories"
)

// Prefixes of paths that end in a repository's name.
const (
	filePrefix       = "/tuf/"
	publishPrefix    = "/v1/publish/"
	onlineKeysPrefix = "/v1/online-keys/"
	repositoryPrefix = RepositoriesPath + "/"
)

// bracket escapes what may stand in a repository's name (the host [::1]) but not
// in a path. Everything else in a name stands for itself.
var bracket = strings.NewReplacer("[", "%5B", "]", "%5D")

// FilePath returns the path of a metadata file, such as "3.root.json" or
// "timestamp.json". Like all paths here it is escaped: append it to the base
// address of a server.
func FilePath(repository, file string) string {
	return filePrefix + bracket.Replace(repository) + "/" + file
}

// ServerPathOf returns the path of what the server is and asks of those who publish
// to repository.
func ServerPathOf(repository string) string {
	return ServerPath + "?" + url.Values{"repository": {repository}}.Encode()
}

// PublishPath returns the path to publish repository at.
func PublishPath(repository string) string { return publishPrefix + bracket.Replace(repository) }

// OnlineKeysPath returns the path of repository's online keys.
func OnlineKeysPath(repository string) string { return onlineKeysPrefix + bracket.Replace(repository) }

// RepositoryPath returns the path of what the server has of repository.
func RepositoryPath(repository string) string { return repositoryPrefix + bracket.Replace(repository) }

// PagePath returns the path of a page of repositories: those that follow after,
// at most limit of them (0: as many as the server likes).
func PagePath(after string, limit int) string {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if len(q) == 0 {
		return RepositoriesPath
	}
	return RepositoriesPath + "?" + q.Encode()
}
