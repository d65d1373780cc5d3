"""Views that read and write the database."""

import json

from django.contrib.auth import authenticate, login
from django.db import connection, transaction
from django.db.models import Count, Sum
from django.http import HttpResponse, HttpResponseForbidden, JsonResponse
from django.shortcuts import get_object_or_404
from django.template import engines

from django_site.orders.models import Customer, Order

PAGE = engines["django"].from_string("<ul>{% for o in orders %}<li>{{ o.item }} for {{ o.customer.name }}</li>{% endfor %}</ul>")


def index(request):
    return HttpResponse(PAGE.render({"orders": Order.objects.select_related("customer").order_by("-id")[:10]}, request))


def orders(request):
    if request.method == "POST":
        wanted = json.loads(request.body)
        with transaction.atomic():
            customer, _ = Customer.objects.get_or_create(name=wanted["customer"])
            made = [Order.objects.create(customer=customer, item=item, cents=cents).id for item, cents in wanted["items"]]
            if wanted.get("fail"):
                raise RuntimeError("the transaction must be rolled back")
        return JsonResponse({"made": made}, status=201)
    found = Order.objects.filter(customer__name=request.GET["customer"]).order_by("id")
    return JsonResponse({"orders": list(found.values("id", "item", "cents"))})


def order(request, number):
    found = get_object_or_404(Order, pk=number)
    return JsonResponse({"item": found.item, "cents": found.cents})


def report(request):
    rows = Customer.objects.annotate(count=Count("orders"), cents=Sum("orders__cents")).order_by("name")
    return JsonResponse({"customers": list(rows.values("name", "count", "cents"))})


def sign_in(request):
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponseForbidden("no")
    login(request, user)
    return HttpResponse("yes")


def me(request):
    return HttpResponse(request.user.get_username() or "nobody")


def wait(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")  # <- wait
    return HttpResponse("late")


def broken(request):
    raise ValueError("a view that fails")
