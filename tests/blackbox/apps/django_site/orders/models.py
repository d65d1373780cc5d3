"""Customers and what they ordered."""

from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=100, unique=True)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    item = models.CharField(max_length=200)
    cents = models.PositiveIntegerField()
    placed = models.DateTimeField(auto_now_add=True)
