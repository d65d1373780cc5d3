"""A Flask site: forms, JSON, uploads, sessions, streams, files, errors."""

import hashlib
import io
import time

from flask import (
    Flask,
    Response,
    abort,
    jsonify,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    stream_with_context,
)

app = Flask(__name__)
app.secret_key = "for tests only"


@app.route("/")
def hello():
    return "Hello, World!"


@app.route("/peer")
def peer():
    return f"{request.environ['REMOTE_ADDR']}:{request.environ['REMOTE_PORT']}"


@app.route("/users/<int:number>")
def user(number):
    return render_template_string("<h1>User {{ number }}</h1>", number=number)


@app.route("/form", methods=["POST"])
def form():
    return jsonify(request.form)


@app.route("/json", methods=["POST", "PUT", "PATCH", "DELETE"])
def echo_json():
    return jsonify(method=request.method, body=request.get_json())


@app.route("/upload", methods=["POST", "PUT"])
def upload():
    data = request.files["file"].read() if request.files else request.get_data()
    return jsonify(size=len(data), sha256=hashlib.sha256(data).hexdigest())


@app.route("/download/<int:size>")
def download(size):
    return send_file(io.BytesIO(bytes(range(256)) * (size // 256)), mimetype="application/octet-stream")


@app.route("/file")
def file():
    return send_file(__file__, mimetype="text/x-python", conditional=True)


@app.route("/stream")
def stream():
    def parts():
        for number in range(5):
            yield f"part {number} of {request.path}\n"

    return Response(stream_with_context(parts()), content_type="text/plain")


@app.route("/visits")
def visits():
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@app.route("/old")
def old():
    return redirect("/", 301)


@app.route("/missing")
def missing():
    abort(404)


@app.route("/broken")
def broken():
    raise ValueError("a view that fails")


@app.route("/slow")
def slow():
    time.sleep(float(request.args.get("seconds", "1")))
    return "slow"
