"""People of a real API server: who they are, what they may do, what they ask."""

import json


class People:
    """Requests in somebody's name."""

    def __init__(self, server):
        self.server = server

    def ask(self, who, method, path, body=None, content="application/json"):
        headers = {"Authorization": f"Bearer {self.server.token}", "Content-Type": content, "Impersonate-User": who}
        self.server.connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self.server.connection.getresponse()
        answer = json.loads(response.read())
        return response.status, answer

    def patch(self, who, path, patch):
        return self.ask(who, "PATCH", path, patch, "application/merge-patch+json")


def administer(server, path, body):
    status, answer = server.ask("POST", path, body)
    assert status == 201, answer
    return answer


def role(server, name, rules, *users):
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    metadata = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    administer(server, f"{rbac}/clusterroles", {**metadata, "kind": "ClusterRole", "rules": rules})
    subjects = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"} for user in users]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {**metadata, "kind": "ClusterRoleBinding", "subjects": subjects, "roleRef": reference}
    administer(server, f"{rbac}/clusterrolebindings", binding)
